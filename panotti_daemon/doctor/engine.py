"""The models that the settings ask for, and whether the engine understands a sample."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from panotti_daemon.doctor.finding import Finding
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.machine.hardware import machine
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.models.downloaded import long_unused
from panotti_daemon.engine.models.inventory import uses
from panotti_daemon.engine.models.store import can_be_downloaded, damaged_models, mending
from panotti_daemon.errors import PanottiError
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.paths import Paths, bundled
from panotti_daemon.settings import Settings
from panotti_daemon.sizes import shown_size


def models(settings: Settings, paths: Paths, now: datetime) -> Iterator[Finding]:
    here, damaged = machine(settings.engine), damaged_models(paths.models)
    yield Finding("hardware", True, here.description)
    for use in uses(paths.models, settings, here):
        spoken = "" if use.language == "auto" else f" for {use.language!r}"
        spoken += " to translate" if use.translate else ""
        if use.model:
            yield Finding("model", True, f"{use.model}{spoken}, which {use.why}")
        elif use.setting not in {broken.name for broken, _ in damaged}:
            yield Finding("model", False, use.why, _remedy(use.setting, paths))
    for broken, damage in damaged:
        remedy = _remedy(broken.name, paths) if can_be_downloaded(broken.name) else mending(broken)
        yield Finding("model", False, f"{broken.name} in {broken.path} is damaged: {damage}", remedy)
    for unused in long_unused(settings, paths.models, now):
        used = f"was last used on {unused.last_used.astimezone():%Y-%m-%d}, and takes {shown_size(unused.size)}"
        yield Finding("model", True, f"{unused.name} {used}", f"panotti models remove {shlex.quote(unused.name)}")


async def trial(settings: Settings, paths: Paths) -> Finding:
    """A real transcription, of the sample that Panotti carries."""
    engine = Engine(models=paths.models, idle_seconds=0, workers=settings.engine.workers, resources=settings.engine)
    started = time.monotonic()
    try:
        wish = RequestedSettings(language="en", model=settings.engine.model)
        result = await engine.transcribe([Track(path=_sample())], wish, on_progress=lambda _: None)
    except PanottiError as error:
        return Finding("engine", False, error.message, f"Look into {paths.log_file}")
    finally:
        await engine.close()
    seconds = time.monotonic() - started
    words = sum(len(segment.text.split()) for segment in result.segments)
    if not words:
        return Finding("engine", False, "it understood nothing of a spoken sample", "Try another model: engine.model")
    return Finding(
        "engine", True, f"understood {words} words of a sample of {result.duration:.0f} s in {seconds:.1f} s"
    )


def _remedy(name: str, paths: Paths) -> str:
    if name == "auto":
        return "pip install 'panotti-daemon[starter]'"
    if not can_be_downloaded(name):
        return f"Edit {paths.config_file}"
    return f"panotti models pull {shlex.quote(name)}"


def _sample() -> Path:
    return bundled("resources") / "samples" / "two-voices.wav"
