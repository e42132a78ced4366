"""Writes what commands set: files of their own beside `config.yaml`, which is the user's, with its comments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from panotti_daemon.errors import SettingsError


def write(file: Path, values: Mapping[str, Any], *, by: str) -> None:
    """Whole or not at all; nothing to say is no file. Raises SettingsError."""
    note = f"# Written by `{by}`. It stands above config.yaml and below the environment.\n"
    try:
        if not values:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = file.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as written:
            written.write(note + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
            written.flush()
            os.fsync(written.fileno())
        temporary.replace(file)
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{file} cannot be written: {error}") from error
