"""Keeps the model that was used last in memory, and finds the next one to use when a model turns out to be damaged."""

from __future__ import annotations

from pathlib import Path

from panotti_daemon.engine.machine.hardware import machine, rule_out_gpu
from panotti_daemon.engine.messages import Workers
from panotti_daemon.engine.models.catalog import KNOWN
from panotti_daemon.engine.models.damage import known_damage, note_damage
from panotti_daemon.engine.models.download import OnDownload
from panotti_daemon.engine.models.downloaded import note_use
from panotti_daemon.engine.models.store import resolve
from panotti_daemon.engine.whisper.loading import GpuFailed
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.errors import ModelDamaged
from panotti_daemon.settings.resources import Resources


class Shelf:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._kept: Transcriber | None = None

    def take(
        self,
        setting: str,
        models_dir: Path,
        *,
        language: str,
        translate: bool = False,
        workers: Workers,
        on_download: OnDownload,
    ) -> Transcriber:
        """The model that a setting means, ready to transcribe. Raises ModelUnavailable."""
        while True:
            on = machine(self._resources)
            model = resolve(setting, models_dir, language=language, translate=translate, on_progress=on_download, on=on)
            note_use(model, models_dir)
            count = on.workers_for(KNOWN.get(model.name)) if workers == "auto" else workers
            if self._kept and (self._kept.model, self._kept.workers) == (model, count):
                self._kept.model = model  # the same, but what is to be said of it may have changed
                return self._kept
            self._kept = None  # the old one gives its memory back before the new one takes some
            try:
                self._kept = Transcriber(model, count, self._resources)
            except GpuFailed as error:
                rule_out_gpu(str(error))
            except ModelDamaged as error:
                note_damage(model.path, models_dir, error.reason)
                if not known_damage(model.path, models_dir):  # it cannot be noted, and would be chosen for ever
                    raise
            else:
                return self._kept
