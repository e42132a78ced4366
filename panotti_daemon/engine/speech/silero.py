"""The network that hears speech: that of the package silero-vad where it is installed, else the one in faster-whisper.

The package is found, never imported: to import it is to import PyTorch.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from faster_whisper.vad import SileroVADModel, get_vad_model

_PACKAGE = "silero_vad"
_WEIGHTS = Path("data", "silero_vad_16k_sequence.onnx")
"""Many frames in one call, with the same inputs and outputs as the copy in faster-whisper."""


@cache
def session() -> Any:
    """An ONNX Runtime session: from `input`, `h` and `c` to `speech_probs`, `hn` and `cn`."""
    weights = package_weights()
    return SileroVADModel(str(weights)).session if weights else get_vad_model().session


def package_weights() -> Path | None:
    package = importlib.util.find_spec(_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        weights = Path(folder) / _WEIGHTS
        if weights.is_file():
            return weights
    return None
