from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from panotti_daemon.engine.machine.hardware import Machine
from panotti_daemon.engine.models.catalog import KNOWN, english_only
from panotti_daemon.engine.models.choice import choose

PAGE = (Path(__file__).parents[4] / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_page_about_models_has_them_all_with_what_they_ask_for() -> None:
    assert re.findall(r"^\| `.*\|$", PAGE, re.MULTILINE) == [
        f"| `{model.name}` | {model.megabytes:,} MB | {'English' if model.english_only else '99'} | {model.work:.1f} "
        f"| {model.worker_megabytes:,.0f} MB |"
        for model in KNOWN.values()
    ]


@pytest.mark.parametrize("row", re.findall(r"^\| (\d+) \| (\d+) GB \| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE))
def test_the_page_about_models_says_what_auto_chooses(row: tuple[str, str, str, str]) -> None:
    machine = Machine(int(row[0]), int(row[1]) * 1000, "there is no NVIDIA driver")
    chosen = [choose(list(KNOWN), language, machine) for language in ("auto", "en")]
    assert [choice.name for choice in chosen if choice] == list(row[2:])


def test_what_a_model_asks_for_grows_with_it() -> None:
    family = [KNOWN[name] for name in ("tiny", "base", "small", "medium", "large-v3")]
    for smaller, larger in pairwise(family):
        assert smaller.work < larger.work
        assert smaller.worker_megabytes < larger.worker_megabytes
    assert KNOWN["tiny"].work == 1.0


def test_models_that_know_english_alone_are_known_as_such() -> None:
    assert english_only("tiny.en")
    assert english_only("distil-large-v3")
    assert english_only("somebody/their-whisper.en")
    assert not english_only("large-v3")
