"""The documentation holds what the benchmarks print."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.aims import compared
from benchmarks.page import filled
from benchmarks.picture import draw
from benchmarks.report import Row, Table, show, shown

ROOT = Path(__file__).parents[2]
PAGES = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]

LENGTH = [
    {
        "minutes": minutes,
        "seconds": seconds,
        "remaining time off by, %": 12,
        "MB after a tenth": 400,
        "MB at most": 450 + minutes,
        "MB an hour": 33,
    }
    for minutes, seconds in ((5, 7.1), (60, 80.0), (180, 240.5))
]


def table(title: str, rows: Sequence[Row], **notes: str) -> Table:
    return Table(title=title, notes=notes, rows=[dict(row) for row in rows])


def test_what_is_printed_can_be_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    show("Speed: tiny.en", [{"contender": "panotti", "seconds": 1.5}], {"versions": {"av": "18"}, "load": "0.1"})
    show("Length: tiny.en", LENGTH, {})
    printed = capsys.readouterr().out
    assert "| panotti   | 1.50    |" in printed
    assert list(shown(f"something else\n{printed}")) == [
        table("Speed: tiny.en", [{"contender": "panotti", "seconds": 1.5}]).model_copy(
            update={"notes": {"versions": {"av": "18"}, "load": "0.1"}}
        ),
        table("Length: tiny.en", LENGTH),
    ]


def test_tables_go_to_their_places_and_the_others_stay() -> None:
    page = "<!-- tables: Speed -->\nold\n<!-- end -->\nwords\n<!-- tables: Length -->\nkept\n<!-- end -->\n"
    tables = [
        table("Speed: a", [{"x": 1}], date="today", load="0.1"),
        table("Speed: b", [{"x": 2}], date="today", load="0.2"),
    ]
    assert filled(page, tables) == (
        "<!-- tables: Speed -->\n\n* date: today\n\n### Speed: a\n\n* load: 0.1\n\n| x |\n| - |\n| 1 |\n\n"
        "### Speed: b\n\n* load: 0.2\n\n| x |\n| - |\n| 2 |\n\n<!-- end -->\n"
        "words\n<!-- tables: Length -->\nkept\n<!-- end -->\n"
    )


def test_there_is_one_place_for_every_table_that_a_benchmark_prints() -> None:
    places = [place for page in PAGES for place in re.findall("<!-- tables: (.+) -->", page)]
    titles = [
        title
        for path in (ROOT / "benchmarks").glob("*.py")
        for title in re.findall(r'\bshow\(\s*f?"([^"]+)"', path.read_text(encoding="utf-8"))
    ]
    assert len(titles) >= 8
    for title in titles:
        assert [place for place in places if title.startswith(place)], title
        assert len([place for place in places if title.startswith(place)]) == 1, title


def test_the_page_says_which_aims_are_reached() -> None:
    accuracy: list[Row] = [
        {"speech": "noisy", "contender": contender, "word error rate %": rate, "deleted": deleted}
        for contender, rate, deleted in (("panotti", 4.5, 3), ("sequential", 5.0, 2), ("batched, 2 threads", 4.6, 9))
    ]
    speed: list[Row] = [
        {"contender": "panotti", "panotti is faster by": 1.0},
        {"contender": "batched, 1 thread", "panotti is faster by": 1.9},
        {"contender": "batched, 2 threads (its best)", "panotti is faster by": 1.29},
        {"contender": "sequential", "panotti is faster by": 3.0},
    ]
    tables = [
        table("Speed: base, clean, 356 s", speed),
        table("Length: tiny.en", LENGTH),
        table("Accuracy: base", accuracy),
        table("Words where nobody speaks: base", [{"sound": "hum", "panotti": 0}, {"sound": "fan", "panotti": 2}]),
        table("Events a second", [{"way": "publish", "a second": 1}]),
    ]
    rows = compared(tables).rows
    assert {str(row["aim"]): row["wanted"] for row in rows if "noisy" in str(row["aim"])} == {
        "Word error rate % (base, noisy)": "at most 4.6 (batched)",
        "Words left out (base, noisy)": "at most 2 (sequential)",
    }
    reached = {str(row["aim"]): row["reached"] for row in rows}
    assert reached == {
        "Faster than batched (base, clean)": "no",
        "Faster than sequential (base, clean)": "yes",
        "Growth for an hour of audio, MB (180 minutes)": "yes",
        "Remaining time after the first tenth, off by % (5 minutes)": "yes",
        "Remaining time after the first tenth, off by % (60 minutes)": "yes",
        "Remaining time after the first tenth, off by % (180 minutes)": "yes",
        "Word error rate % (base, noisy)": "yes",
        "Words left out (base, noisy)": "no",
        "Words where nobody speaks (base)": "no",
    }


def test_the_picture_shows_every_length() -> None:
    picture = ElementTree.fromstring(draw(table("Length: tiny.en", LENGTH)))
    lines = [
        element.attrib["d"].removeprefix("M").split("L")
        for element in picture.iter()
        if element.get("class") == "curve"
    ]
    assert [len(points) for points in lines] == [3, 3, 3]
    for across, up in (point.split() for points in lines for point in points):
        assert 0 < float(across) < 360
        assert 0 < float(up) < 240
