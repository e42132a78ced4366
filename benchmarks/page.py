"""Puts what the benchmarks printed into docs/performance.md and noise.md, so that no number there is typed by hand.

python -m benchmarks.page FILE...

The pages say with `<!-- tables: BEGINNING -->` and `<!-- end -->` where the tables go whose titles begin so. Tables
that are in none of the files stay as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import aims
from benchmarks.picture import draw
from benchmarks.report import Table, common, drawn, noted, shown

DOCS = Path(__file__).parent.parent / "docs"

PICTURE = "![Time and memory against the length of a recording](images/performance.svg)"
_PLACE = re.compile(r"(?P<head><!-- tables: (?P<beginning>.+?) -->\n).*?(?P<foot><!-- end -->)", re.DOTALL)


def main(files: Sequence[Path]) -> None:
    tables = [table for file in files for table in shown(file.read_text(encoding="utf-8"))]
    for page in (DOCS / "performance.md", DOCS / "noise.md"):
        page.write_text(filled(page.read_text(encoding="utf-8"), [aims.compared(tables), *tables]), encoding="utf-8")
    for table in tables:
        if table.title.startswith("Length"):
            (DOCS / "images" / "performance.svg").write_text(draw(table), encoding="utf-8")


def filled(page: str, tables: Sequence[Table]) -> str:
    def fill(place: re.Match[str]) -> str:
        found = [table for table in tables if table.rows and table.title.startswith(place["beginning"])]
        return f"{place['head']}\n{_written(found)}\n\n{place['foot']}" if found else place[0]

    return _PLACE.sub(fill, page)


def _written(tables: Sequence[Table]) -> str:
    """What is true of all tables stands above the first; a lone table needs no heading."""
    of_all = common(table.notes for table in tables)
    parts = [noted(of_all), *(PICTURE for table in tables if table.title.startswith("Length"))]
    for table in tables:
        own = {name: note for name, note in table.notes.items() if name not in of_all}
        parts += [f"### {table.title}" if len(tables) > 1 else "", noted(own), drawn(table.rows)]
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
