from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from panotti_daemon.engine.gate import Gate, JobEnded
from panotti_daemon.engine.messages import Pace, Progress, Track
from panotti_daemon.engine.models.store import resolve
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription
from tests.speech import SAMPLE, librivox_clip, plain, speak

ENGLISH = RequestedSettings(language="en")


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Transcriber:
    return Transcriber(resolve("tiny.en", tmp_path_factory.mktemp("models"), download=False), workers=2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    librivox_clip(path, times=3)
    return path


def run(
    transcriber: Transcriber,
    path: Path,
    settings: RequestedSettings = ENGLISH,
    *,
    done: Sequence[Checkpoint] = (),
    gate: Gate | None = None,
) -> tuple[Transcription, list[Checkpoint]]:
    """The result, and what was kept on the way to it."""
    kept: list[Checkpoint] = []
    result = transcriber.transcribe([Track(path=path)], settings, done=done, gate=gate or Gate(), keep=kept.append)
    return result, kept


@pytest.fixture(scope="module")
def undisturbed(transcriber: Transcriber, clip: Path) -> tuple[Transcription, list[Checkpoint]]:
    return run(transcriber, clip)


def test_what_is_resumed_is_equal_to_what_an_undisturbed_run_gives(
    transcriber: Transcriber, clip: Path, undisturbed: tuple[Transcription, list[Checkpoint]]
) -> None:
    whole, kept = undisturbed
    assert len(kept) >= 3
    assert sum(len(part.windows) for part in kept) == whole.coverage.windows
    half = kept[::2]
    resumed, rest = run(transcriber, clip, done=half)
    assert resumed == whole
    assert sorted(window.start for part in rest for window in part.windows) == sorted(
        window.start for part in kept if part not in half for window in part.windows
    )


def test_what_another_model_has_decoded_is_decoded_anew(
    transcriber: Transcriber, clip: Path, undisturbed: tuple[Transcription, list[Checkpoint]]
) -> None:
    whole, kept = undisturbed
    foreign = [part.model_copy(update={"model": "base"}) for part in kept]
    again, decoded = run(transcriber, clip, done=foreign)
    assert again == whole
    assert len(decoded) == len(kept)


def test_a_resumed_recording_keeps_the_language_that_was_found(
    transcriber: Transcriber, clip: Path, undisturbed: tuple[Transcription, list[Checkpoint]]
) -> None:
    _, kept = undisturbed
    found = [part.model_copy(update={"language": "de", "language_probability": 0.7}) for part in kept]
    resumed, _ = run(transcriber, clip, RequestedSettings(), done=found)
    assert (resumed.language, resumed.language_probability) == ("de", 0.7)


def test_a_job_that_is_ended_keeps_the_windows_in_flight_and_begins_no_more(
    transcriber: Transcriber, clip: Path, undisturbed: tuple[Transcription, list[Checkpoint]]
) -> None:
    gate = Gate()
    kept: list[Checkpoint] = []

    def keep(checkpoint: Checkpoint) -> None:
        kept.append(checkpoint)
        gate.end()

    with pytest.raises(JobEnded):
        transcriber.transcribe([Track(path=clip)], ENGLISH, gate=gate, keep=keep)
    assert 1 <= len(kept) <= transcriber.workers
    whole, parts = undisturbed
    assert all(part.windows in [other.windows for other in parts] for part in kept)
    resumed, _ = run(transcriber, clip, done=kept)
    assert resumed == whole


def test_a_job_that_is_held_can_be_ended(transcriber: Transcriber) -> None:
    gate = Gate(Pace.HELD)
    begun = threading.Event()

    def tell(_: Progress) -> None:
        begun.set()

    def end() -> None:
        begun.wait(30)
        gate.end()

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(JobEnded):
        transcriber.transcribe([Track(path=SAMPLE)], ENGLISH, gate=gate, tell=tell)
    ending.join()


def test_words_have_times_of_their_own_in_their_order_and_inside_their_segment(
    transcriber: Transcriber, clip: Path, undisturbed: tuple[Transcription, list[Checkpoint]]
) -> None:
    plainly, _ = undisturbed
    result, _ = run(transcriber, clip, ENGLISH.model_copy(update={"words": True}))
    assert [segment.text for segment in result.segments] == [segment.text for segment in plainly.segments]
    for segment in result.segments:
        assert "".join(word.text for word in segment.words).strip() == segment.text
        edges = [segment.start, *(t for word in segment.words for t in (word.start, word.end)), segment.end]
        assert edges == sorted(edges)
        assert all(0 <= word.probability <= 1 for word in segment.words)
    assert not any(segment.words for segment in plainly.segments)


def test_words_are_where_they_were_spoken(transcriber: Transcriber, tmp_path: Path) -> None:
    """A word that is cut out of silence can be heard at one time only."""
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    places = speak(tmp_path / "words.wav", days, seconds_between=1.5)
    result, _ = run(transcriber, tmp_path / "words.wav", ENGLISH.model_copy(update={"words": True}))
    words = {plain(word.text): word for segment in result.segments for word in segment.words}
    for day, (start, end) in zip(days, places, strict=True):
        heard = words[day.lower()]
        assert start - 0.3 < heard.start < heard.end < end + 0.3


def test_a_vocabulary_teaches_names(transcriber: Transcriber, tmp_path: Path) -> None:
    speak(
        tmp_path / "names.wav", ["Please ask Szymborska about Panotti.", "Panotti and Szymborska will meet on Friday."]
    )
    without, _ = run(transcriber, tmp_path / "names.wav")
    told, _ = run(
        transcriber, tmp_path / "names.wav", ENGLISH.model_copy(update={"vocabulary": ("Szymborska", "Panotti")})
    )

    def names(result: Transcription) -> int:
        text = " ".join(segment.text for segment in result.segments)
        return text.count("Szymborska") + text.count("Panotti")

    assert names(told) > names(without)


def test_an_english_only_model_says_when_it_hardly_understands(transcriber: Transcriber, tmp_path: Path) -> None:
    french = "Aujourd'hui nous allons parler de la réunion de la semaine prochaine. Elle commence lundi à neuf heures."
    subprocess.run(["espeak-ng", "-v", "fr", "-s", "140", "-w", str(tmp_path / "french.wav"), french], check=True)
    foreign, _ = run(transcriber, tmp_path / "french.wav", RequestedSettings())
    assert any("knows English only, and hardly understood" in warning for warning in foreign.warnings)
    english, _ = run(transcriber, SAMPLE, RequestedSettings())
    assert english.warnings == ()


def test_an_english_only_model_says_that_it_cannot_translate(transcriber: Transcriber) -> None:
    with pytest.raises(ModelUnavailable, match="cannot translate: choose one that can"):
        run(transcriber, SAMPLE, RequestedSettings(task="translate"))


def test_the_text_is_told_window_by_window(undisturbed: tuple[Transcription, list[Checkpoint]]) -> None:
    result, kept = undisturbed
    told = sorted((s for part in kept for window in part.windows for s in window.segments), key=lambda s: s.start)
    assert tuple(told) == result.segments
