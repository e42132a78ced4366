"""Ten thousand files dropped at once: all are seen, the API answers, and what a person asks for is next."""

from __future__ import annotations

import random
import shutil
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_sentences

FILES = 10_000


def test_of_ten_thousand_dropped_files_all_are_listed_within_a_minute_and_the_one_asked_for_now_is_next(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    drop.mkdir()
    daemon = panotti({"watch": [{"path": str(drop)}]}).start()
    with _asking(daemon) as answers:
        _make_noises(drop, FILES)
        dropped_at = time.monotonic()
        wait_until(lambda: _files(daemon) == FILES, "all files are listed", seconds=60)
        listed = time.monotonic() - dropped_at

        wanted = drop / "wanted.wav"
        shutil.copy(next(iter(librivox_sentences())), wanted)
        asked_at = time.monotonic()
        daemon.post("/ledger/now", {"path": str(wanted)})
        daemon.wait_for(wanted, FileState.DONE)
        done = time.monotonic() - asked_at
        assert _files(daemon, FileState.DONE) + _files(daemon, FileState.NO_SPEECH) < FILES / 2
    daemon.kill()
    assert answers
    print(f"listed after {listed:.1f} s, wanted after {done:.1f} s, slowest answer {max(answers):.2f} s")


def _make_noises(folder: Path, count: int) -> None:
    noise = random.Random(1).randbytes(6400)
    for number in range(count):
        with wave.open(str(folder / f"{number:05}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(number.to_bytes(4, "little") + noise)


def _files(daemon: Panotti, state: FileState | None = None) -> int:
    query = {"limit": 1, **({"state": state.value} if state else {})}
    return int(daemon.get("/ledger", params=query)["total"])


@contextmanager
def _asking(daemon: Panotti) -> Iterator[list[float]]:
    """Asks for the status all the time; gives the seconds that each answer took. Any that failed fails the test."""
    answers: list[float] = []
    failures: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.1):
            asked_at = time.monotonic()
            try:
                daemon.status()
            except Exception as error:
                failures.append(f"after {time.monotonic() - asked_at:.1f} s: {error!r}")
            answers.append(time.monotonic() - asked_at)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield answers
    finally:
        over.set()
        asking.join()
    assert not failures
