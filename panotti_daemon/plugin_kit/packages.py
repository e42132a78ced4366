"""Plugins in packages, by way of pip and the environment that Panotti runs in."""

from __future__ import annotations

import configparser
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from panotti_daemon.core.plugins.discovery import ENTRY_POINTS
from panotti_daemon.errors import PluginRefused
from panotti_daemon.plugin_kit.processes import run_python

PIP_SECONDS = 600.0


def module_of(unpacked: Path, source: str) -> str:
    """That of the plugin in an unpacked wheel. Raises PluginRefused."""
    points = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    for file in unpacked.glob("*.dist-info/entry_points.txt"):
        try:
            points.read_string(file.read_text(encoding="utf-8"))
        except (configparser.Error, UnicodeDecodeError) as error:
            raise PluginRefused(f"{source}: its entry points cannot be read: {error}") from error
    modules = list(points[ENTRY_POINTS].values()) if points.has_section(ENTRY_POINTS) else []
    if len(modules) != 1:
        raise PluginRefused(
            f"{source} is no plugin: it must have one entry point of the group {ENTRY_POINTS}, and has {len(modules)}."
        )
    module = modules[0].partition(":")[0].strip()
    if not all(part.isidentifier() for part in module.split(".")):
        raise PluginRefused(f"{source} is refused: its entry point {module!r} is no module.")
    return module


def downloaded(source: str, stage: Path) -> Path:
    """The package's wheel, and nothing that would have to be built: building runs its code. Raises PluginRefused."""
    try:
        requirement = Requirement(source)
    except InvalidRequirement:
        requirement = None
    if requirement is None or requirement.url:
        raise PluginRefused(f"{source} is neither a folder or zip that is there, nor the name of a package.")
    _pip("download", "--no-deps", "--only-binary", ":all:", "--dest", str(stage), str(requirement))
    return next(stage.glob("*.whl"))


def install(wheel: Path, *, upgrade: bool) -> str:
    """With what it needs, but never at the cost of what Panotti itself runs on. Raises PluginRefused."""
    try:
        name, *_ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise PluginRefused(f"{wheel} is not named as wheels are: {error}") from error
    present = {canonicalize_name(found.name): found.version for found in distributions()}
    with tempfile.TemporaryDirectory() as temporary:
        kept = Path(temporary, "constraints.txt")
        kept.write_text("".join(f"{other}=={version}\n" for other, version in present.items() if other != name))
        options = ["--only-binary", ":all:", "--constraint", str(kept), *(["--upgrade"] if upgrade else [])]
        _pip("install", *options, str(wheel))
    return f"the environment {sys.prefix}"


def _pip(command: str, *arguments: str) -> None:
    ended = run_python(
        ["-m", "pip", "--disable-pip-version-check", "--no-input", command, *arguments], seconds=PIP_SECONDS
    )
    if ended.status != 0:
        lines = ended.output.strip().splitlines() or [f"it did not end within {PIP_SECONDS:g} s"]
        raise PluginRefused(f"pip {command} failed in {sys.prefix}: {lines[-1]}")
