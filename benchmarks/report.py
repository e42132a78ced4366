"""How measurements are shown: where and when they were made, as a table for people and as JSON for programs."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from panotti_daemon import __version__

_LIBRARIES = ("faster-whisper", "ctranslate2", "onnxruntime", "numpy", "av")

Row = Mapping[str, str | int | float]


def surroundings() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {psutil.cpu_count(logical=False)} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GB, {platform.system()}, Python {platform.python_version()}",
        "load": " ".join(f"{load:.1f}" for load in psutil.getloadavg()),
        "versions": {"panotti": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def show(title: str, rows: Sequence[Row], notes: Mapping[str, Any]) -> None:
    """Prints Markdown, so that a page of the documentation can hold it as it is."""
    print(f"\n### {title}\n")
    for name, note in notes.items():
        words = ", ".join(f"{key} {value}" for key, value in note.items()) if isinstance(note, Mapping) else note
        print(f"* {name}: {words}")
    cells = [[*rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    print()
    for line in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
    print(
        "\n```json\n" + json.dumps({"title": title, **notes, "rows": [dict(row) for row in rows]}) + "\n```", flush=True
    )


def _cell(value: str | float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
