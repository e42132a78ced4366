"""Makes a small file of the sound that a server is to hear: no name, no metadata, nothing but speech."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import av
import numpy as np

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples

MEDIA_TYPES = {"flac": "audio/flac", "opus": "audio/ogg"}
NAMES = {"flac": "audio.flac", "opus": "audio.ogg"}
"""Servers go by the suffix."""

_OPUS_BIT_RATE = 32_000
_FRAME_SAMPLES = SAMPLE_RATE


def pack(samples: Samples, codec: Literal["flac", "opus"]) -> bytes:
    """A file of mono samples at 16 kHz."""
    whole = np.clip(samples * 32767.0, -32768, 32767).astype(np.int16)
    packed = BytesIO()
    with av.open(packed, "w", format="flac" if codec == "flac" else "ogg") as container:
        stream = container.add_stream("flac" if codec == "flac" else "libopus", rate=SAMPLE_RATE, layout="mono")
        if codec == "opus":
            stream.bit_rate = _OPUS_BIT_RATE
        for start in range(0, len(whole), _FRAME_SAMPLES):
            frame = av.AudioFrame.from_ndarray(whole[None, start : start + _FRAME_SAMPLES], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return packed.getvalue()
