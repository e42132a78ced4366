"""Which models on this machine are known to be damaged: noted by whoever finds out, so that none is chosen again.

A note holds only for the files as they were: what was fetched or copied anew is judged anew.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

NOTES = ".damaged.json"


class _Note(BaseModel):
    reason: str
    state: list[tuple[str, int, int]]
    """Name, size and time of each file."""


_notes = TypeAdapter(dict[str, _Note])


def any_known_damage(models_dir: Path) -> bool:
    """Cheap, where there is none."""
    return bool(_read(models_dir))


def known_damage(folder: Path, models_dir: Path) -> str | None:
    """What is wrong with the model in a folder."""
    note = _read(models_dir).get(str(folder))
    return note.reason if note and note.state == _state(folder) else None


def note_damage(folder: Path, models_dir: Path, reason: str) -> None:
    _write(models_dir, _read(models_dir) | {str(folder): _Note(reason=reason, state=_state(folder))})


def note_whole(folder: Path, models_dir: Path) -> None:
    notes = _read(models_dir)
    if notes.pop(str(folder), None):
        _write(models_dir, notes)


def _read(models_dir: Path) -> dict[str, _Note]:
    try:
        return _notes.validate_json((models_dir / NOTES).read_bytes())
    except (OSError, ValidationError):
        return {}


def _write(models_dir: Path, notes: dict[str, _Note]) -> None:
    """A note that cannot be kept costs another look, and nothing else."""
    with suppress(OSError):
        models_dir.mkdir(parents=True, exist_ok=True)
        temporary = models_dir / f"{NOTES}.tmp"
        temporary.write_bytes(_notes.dump_json(notes, indent=2))
        temporary.replace(models_dir / NOTES)


def _state(folder: Path) -> list[tuple[str, int, int]]:
    try:
        statuses = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    except OSError:
        return []
    return [(name, status.st_size, status.st_mtime_ns) for name, status in statuses]
