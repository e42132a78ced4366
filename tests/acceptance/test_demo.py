"""`make demo`: the first thing that somebody who has the source runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.daemon import Panotti
from tests.speech import SAMPLE_TEXT, word_error_rate

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"


def test_the_demo_shows_the_words_and_complains_of_nothing(panotti: Callable[..., Panotti]) -> None:
    done = subprocess.run([sys.executable, DEMO], env=panotti().environment, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")
    transcript = " ".join(line for line in done.stdout.splitlines() if line.startswith("│"))
    assert word_error_rate(SAMPLE_TEXT, transcript) < 0.1
    assert not Path(done.stdout.split("Written to ")[1].split()[0]).exists()
