from __future__ import annotations

from panotti_daemon.engine.checkpoints import Earlier
from panotti_daemon.models.transcript.models import Checkpoint, DecodedWindow


def checkpoint(model: str, *places: tuple[int, int, int]) -> Checkpoint:
    windows = [
        DecodedWindow(
            track=track, start=start, end=end, segments=(), transcribed_seconds=0.0, again=False, suspect=False
        )
        for track, start, end in places
    ]
    return Checkpoint(model=model, language="en", language_probability=0.9, windows=tuple(windows))


def test_a_window_is_found_where_it_stands_and_nowhere_else() -> None:
    ours = checkpoint("tiny.en", (0, 0, 16_000), (1, 0, 16_000))
    earlier = Earlier([ours], {"tiny.en"})
    assert earlier.find((1, 0, 16_000)) == (ours, ours.windows[1])
    assert [place in earlier for place in ((0, 0, 16_000), (0, 0, 15_999), (2, 0, 16_000))] == [True, False, False]


def test_what_another_model_decoded_is_not_taken_over() -> None:
    ours, other = checkpoint("tiny.en", (0, 0, 16_000)), checkpoint("base", (0, 16_000, 32_000))
    earlier = Earlier([other, ours], {"tiny.en"})
    assert earlier.checkpoints == [ours]
    assert earlier.find((0, 16_000, 32_000)) is None
