"""Says why CTranslate2 cannot use a GPU here, or nothing if it can: a program, for a driver may crash whoever asks.

That a GPU is there says little: without NVIDIA's cuBLAS, which no package brings by itself, CTranslate2 loads a model
and fails at the first window.
"""

from __future__ import annotations

import ctypes
import sys

import ctranslate2

_CUBLAS = "cublas64_12.dll" if sys.platform == "win32" else "libcublas.so.12"


def problem() -> str | None:
    try:
        devices = ctranslate2.get_cuda_device_count()
    except RuntimeError as error:
        return f"CTranslate2 cannot use its driver: {error}"
    if not devices:
        return "CTranslate2 finds none"
    try:
        ctypes.CDLL(_CUBLAS)
    except OSError:
        return f"the library {_CUBLAS} is missing: install NVIDIA's cuBLAS for CUDA 12"
    return None


if __name__ == "__main__":
    sys.stdout.write(problem() or "")
