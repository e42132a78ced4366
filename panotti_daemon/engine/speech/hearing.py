"""What every engine hears of a recording: the speech on its tracks, as windows, and what is known once all is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media import audio
from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.engine.media.bleed import mark_bleed
from panotti_daemon.engine.media.loudness import Loudness
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.speech.sides import Sides
from panotti_daemon.engine.speech.windows import SpeechDetector, Window, windows
from panotti_daemon.models.transcript.models import Coverage, DecodedWindow, Transcription

UNDETERMINED = "und"
"""The language of a recording without speech, as ISO 639 calls it."""


@dataclass(frozen=True)
class Timed:
    window: Window
    seconds: float
    """Of the track that are done when it is."""

    @property
    def speech(self) -> float:
        return len(self.window.samples) / SAMPLE_RATE


class Hearing:
    """Of one recording, once."""

    def __init__(self, tracks: Sequence[Track], *, noise_reduction: bool, gate: Gate, meter: Meter) -> None:
        self.warnings: list[str] = []
        self._tracks = tracks
        self._noise_reduction = noise_reduction
        self._gate = gate
        self._meter = meter
        self._loudness = {track.label: Loudness() for track in tracks}
        self._duration = 0.0
        self._speech_samples = 0

    def windows(self, track: Track) -> Iterator[Timed]:
        """Read as they are asked for. The meter is told of them, and of the silence behind the last one.

        The tracks' turns come in their order, for with the first one the loudness of all is measured.

        Raises JobEnded, MediaError and SourceUnavailable.
        """
        length = before = 0

        def counted() -> Iterator[Samples]:
            nonlocal length
            blocks = self._blocks(track, self.warnings.append)
            for block in self._measured(blocks) if track == self._tracks[0] else blocks:
                length += len(block)
                yield block

        others = [self._loudness[other.label] for other in self._tracks if other != track]
        sides = Sides(self._loudness[track.label], others)
        for window in windows(counted(), SpeechDetector(), sides.divided):
            self._speech_samples += len(window.samples)
            timed = Timed(window, max(0, window.end - before) / SAMPLE_RATE)
            self._meter.read(timed.seconds, timed.speech)
            yield timed
            before = max(before, window.end)
        self._duration = max(self._duration, length / SAMPLE_RATE)
        self._meter.read((length - before) / SAMPLE_RATE, 0.0)

    def _blocks(self, track: Track, warn: Callable[[str], None]) -> Iterator[Samples]:
        for block in audio.decode(
            track.path, warn, stream=track.stream, channel=track.channel, noise_reduction=self._noise_reduction
        ):
            self._gate.check()
            yield block

    def _measured(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """The first track's blocks; the others are read beside it for their loudness alone."""
        beside = [self._blocks(other, lambda _: None) for other in self._tracks[1:]]
        for together in zip_longest(blocks, *beside):
            for loudness, block in zip(self._loudness.values(), together, strict=True):
                if block is not None:
                    loudness.add(block)
            if together[0] is not None:
                yield together[0]

    def transcription(
        self, decoded: Iterable[DecodedWindow], model: str, language: str | None, probability: float
    ) -> Transcription:
        """Of what became of the windows, once all of them are read. One of an earlier try may have another label than
        its track has by now."""
        decoded = list(decoded)
        segments = tuple(
            sorted(
                (
                    segment.model_copy(update={"track": self._tracks[window.track].label})
                    for window in decoded
                    for segment in window.segments
                ),
                key=lambda segment: (segment.start, segment.end),
            )
        )
        is_known = language is not None and self._speech_samples > 0
        return Transcription(
            segments=mark_bleed(segments, self._loudness) if len(self._tracks) > 1 else segments,
            language=language if language and is_known else UNDETERMINED,
            language_probability=round(probability, 3) if is_known else 0.0,
            model=model,
            duration=round(self._duration, 3),
            speech_seconds=round(self._speech_samples / SAMPLE_RATE, 3),
            coverage=Coverage(
                transcribed_seconds=round(sum(window.transcribed_seconds for window in decoded), 3),
                windows=len(decoded),
                decoded_again=sum(window.again for window in decoded),
                suspect=sum(window.suspect for window in decoded),
            ),
            warnings=tuple(self.warnings),
        )
