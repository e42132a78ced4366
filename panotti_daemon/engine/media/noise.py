"""Takes steady noise out of a recording with FFmpeg's filters, block by block: the whole is never in memory.

A folder asks for it. `docs/noise.md` says what it does to the words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import av.filter

if TYPE_CHECKING:
    from panotti_daemon.engine.media.audio import Samples

_RUMBLE_HZ = 80
"""Voices are above."""
_REDUCTION_DB = 12
_DELAY_SECONDS = 0.025
"""By which `afftdn` gives back later what it was given."""

_MOMENT_SECONDS = 0.05
_PAUSES_PERCENT = 10
"""Of its moments, somebody who talks is silent in more."""
_BLOCKS = 4
"""That the noise is measured by: one of them may be speech without a pause."""
_FLOOR_DB = (-80.0, -20.0)
"""What `afftdn` takes for a floor."""


def denoised(blocks: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """As many mono samples as there were, each where it was. Blocks of some seconds tell the noise from the speech."""
    early = round(_DELAY_SECONDS * rate)
    for filtered in _filtered(blocks, rate, early):
        if early < len(filtered):
            yield filtered[early:]
        early = max(0, early - len(filtered))


def _filtered(blocks: Iterable[Samples], rate: int, delay: int) -> Iterator[Samples]:
    """All samples, as late as the filter gives them back."""
    import numpy as np

    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="fltp", layout="mono", time_base=Fraction(1, rate))
    high_pass = graph.add("highpass", f"f={_RUMBLE_HZ}")
    denoiser = graph.add("afftdn", f"nr={_REDUCTION_DB}")
    graph.link_nodes(source, high_pass, denoiser, graph.add("abuffersink")).configure()
    graph.set_audio_frame_size(rate)
    floors: deque[float] = deque(maxlen=_BLOCKS)
    given = 0
    for block in blocks:
        # The filter's own way to follow the noise stays far below what is loud enough to matter.
        floors.append(_floor(block, rate))
        denoiser.process_command("noise_floor", f"{min(floors):.1f}")
        graph.push(_frame(block, given, rate))
        given += len(block)
        yield from _pulled(graph)
    graph.push(_frame(np.zeros(delay, dtype=np.float32), given, rate))
    graph.push(None)
    yield from _pulled(graph)


def _floor(block: Samples, rate: int) -> float:
    """The level of the pauses, in dB."""
    import numpy as np

    moments = np.pad(block, (0, -len(block) % round(_MOMENT_SECONDS * rate))).reshape(-1, round(_MOMENT_SECONDS * rate))
    levels = 10 * np.log10(np.var(moments, axis=1) + 1e-12)
    return float(np.clip(np.percentile(levels, _PAUSES_PERCENT), *_FLOOR_DB))


def _frame(samples: Samples, position: int, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), position
    return frame


def _pulled(graph: av.filter.Graph) -> Iterator[Samples]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, av.AudioFrame)
        yield frame.to_ndarray()[0]
