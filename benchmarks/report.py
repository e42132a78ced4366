"""How measurements are shown: where and when they were made, as a table for people and as JSON for programs."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import structlog
from pydantic import BaseModel

from panotti_daemon import __version__

OURS, SEQUENTIAL, BATCHED = "panotti", "sequential", "batched"
"""How the contenders are called."""
_LIBRARIES = ("faster-whisper", "ctranslate2", "onnxruntime", "numpy", "av")
_FENCED = re.compile(r"^```json\n(.*?)\n```$", re.MULTILINE | re.DOTALL)

Row: TypeAlias = Mapping[str, str | int | float]
Notes: TypeAlias = Mapping[str, Any]


class Table(BaseModel):
    title: str
    notes: dict[str, Any]
    rows: list[dict[str, str | int | float]]


def only_warnings() -> None:
    """What the daemon's parts log goes to where the tables are shown."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def surroundings() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {psutil.cpu_count(logical=False)} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GB, {platform.system()}, Python {platform.python_version()}",
        "versions": {"panotti": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "load before": " ".join(f"{load:.1f}" for load in psutil.getloadavg()),
    }


def show(title: str, rows: Sequence[Row], notes: Notes) -> None:
    """Prints a table, and behind it the same as JSON."""
    table = Table(title=title, notes=dict(notes), rows=[dict(row) for row in rows])
    print(f"\n### {title}\n\n{noted(notes)}\n\n{drawn(rows)}\n\n```json\n{table.model_dump_json()}\n```", flush=True)


def shown(output: str) -> Iterator[Table]:
    """The tables in what was printed."""
    return (Table.model_validate_json(found) for found in _FENCED.findall(output))


def noted(notes: Notes) -> str:
    return "\n".join(f"* {name}: {_in_words(note)}" for name, note in notes.items())


def drawn(rows: Sequence[Row]) -> str:
    """Markdown that is legible as it is."""
    cells = [[*rows[0]], *([_in_words(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    )


def common(notes: Iterable[Notes]) -> dict[str, Any]:
    """What all of them say."""
    first, *others = notes
    return {name: note for name, note in first.items() if all(other.get(name) == note for other in others)}


def _in_words(value: object) -> str:
    match value:
        case float():
            return f"{value:.2f}"
        case Mapping():
            return "; ".join(f"{key} {part}" for key, part in value.items())
        case _:
            return str(value)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
