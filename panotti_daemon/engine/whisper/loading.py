"""Brings models into memory: onto a GPU that works, else for the processor; and another one where one is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ctranslate2 import Device, StorageView, get_supported_compute_types
from faster_whisper import WhisperModel
from numpy.typing import NDArray
from tqdm import tqdm  # type: ignore[import-untyped]

from panotti_daemon.engine.machine.hardware import gpu_problem
from panotti_daemon.engine.models.checksums import Verdict, changed_files_are_whole
from panotti_daemon.engine.models.store import ResolvedModel, damaged
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.settings.resources import DEFAULT, Resources

_FRAMES = 3000
"""That the encoder takes at once."""


class GpuFailed(Exception):
    """A model cannot be used on it."""


def load(model: ResolvedModel, workers: int, resources: Resources = DEFAULT) -> WhisperModel:
    """The model, in memory, once for all workers.

    Raises:
        ModelDamaged: its files are not what was published, or cannot be loaded.
        ModelUnavailable: the settings ask for a GPU, and there is none, or for what the processor cannot compute with.
        GpuFailed: there is one, but the model does not run on it.
    """
    tqdm.monitor_interval = 0  # or the progress bars that faster-whisper hides start a thread that never ends
    found = changed_files_are_whole(model.path)
    if found.verdict is Verdict.DAMAGED:
        raise damaged(model, found.reason)
    without_gpu = "engine.device is cpu" if resources.device == "cpu" else gpu_problem()
    if without_gpu is None:
        return _on_gpu(model.path, workers, resources)
    if resources.device == "cuda":
        raise ModelUnavailable(f"engine.device is cuda, but no GPU can be used: {without_gpu}. Set it to auto")
    compute_type = "int8" if resources.compute_type == "auto" else resources.compute_type
    if compute_type not in get_supported_compute_types("cpu"):
        raise ModelUnavailable(
            f"engine.compute_type is {compute_type}, which this processor cannot compute with. Set it to auto"
        )
    try:
        return WhisperModel(
            str(model.path),
            device="cpu",
            compute_type=compute_type,
            cpu_threads=1,
            num_workers=workers,
        )
    except MemoryError:
        raise
    except Exception as error:  # RuntimeError, ValueError, and of the tokenizer's library nothing more precise
        raise damaged(model, f"it cannot be loaded: {error}") from error


class _OnGpu(WhisperModel):  # type: ignore[misc]
    def encode(self, features: NDArray[np.float32]) -> StorageView:
        """Where numpy can read it."""
        return super().encode(features).to_device(Device.cpu)


def _on_gpu(path: Path, workers: int, resources: Resources) -> WhisperModel:
    """Tried before it is used: a library that is missing shows only then."""
    try:
        whisper = _OnGpu(str(path), device="cuda", compute_type=resources.compute_type, num_workers=workers)
        whisper.encode(np.zeros((whisper.feature_extractor.mel_filters.shape[0], _FRAMES), dtype=np.float32))
    except (RuntimeError, ValueError) as error:
        raise GpuFailed(str(error)) from error
    return whisper
