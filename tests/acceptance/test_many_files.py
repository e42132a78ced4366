"""Ten thousand files dropped at once: all are seen, nobody else is kept waiting."""

from __future__ import annotations

import random
import shutil
import statistics
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


def test_ten_thousand_files_are_listed_within_a_minute_and_one_that_is_asked_for_now_is_next(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    stock, drop = tmp_path / "stock", tmp_path / "in"
    stock.mkdir()
    drop.mkdir()
    _make_noises(stock, FILES)
    with panotti({"watch": [{"path": str(drop)}]}) as daemon, _asking(daemon) as answers:
        dropped_at = time.monotonic()
        stock.rename(drop / "noises")
        wait_until(lambda: _listed(daemon) >= FILES, "all files are listed", seconds=60)
        listed = time.monotonic() - dropped_at

        wanted = drop / "wanted.wav"
        shutil.copy(next(iter(librivox_sentences())), wanted)
        asked_at = time.monotonic()
        daemon.post("/ledger/now", {"path": str(wanted)})
        daemon.wait_for(wanted, FileState.DONE)
        answered = time.monotonic() - asked_at
        waiting = sum(1 for entry in _states(daemon) if entry)
        print(f"listed {listed:.1f} s, now {answered:.1f} s, slowest answer {max(answers):.2f} s, "
              f"median {statistics.median(answers):.3f} s of {len(answers)}, still waiting {waiting}")
        assert waiting > FILES / 2
        assert len(answers) > 10
        daemon.kill()


def _make_noises(folder: Path, count: int) -> None:
    noise = random.Random(1).randbytes(2 * 3200)
    for number in range(count):
        with wave.open(str(folder / f"{number:05}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(number.to_bytes(4, "little") + noise)
