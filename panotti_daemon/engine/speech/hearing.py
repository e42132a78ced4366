"""What every engine hears of a recording: the speech on its tracks, as windows, and what is known once all is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media import audio
from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.engine.media.bleed import Loudness, mark_bleed
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.speech.windows import SpeechDetector, Window, windows
from panotti_daemon.models.transcript.models import Coverage, DecodedWindow, Transcription

UNDETERMINED = "und"
"""The language of a recording without speech, as ISO 639 calls it."""


@dataclass(frozen=True)
class Timed:
    window: Window
    seconds: float
    """Of the track that are done when it is."""


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
        """Read as they are asked for. The meter is told of the silence behind the last one.

        Raises JobEnded, MediaError and SourceUnavailable.
        """
        length = before = 0

        def counted() -> Iterator[Samples]:
            nonlocal length
            for block in audio.decode(
                track.path,
                self.warnings.append,
                stream=track.stream,
                channel=track.channel,
                noise_reduction=self._noise_reduction,
            ):
                self._gate.check()
                length += len(block)
                self._loudness[track.label].add(block)
                yield block

        for window in windows(counted(), SpeechDetector()):
            self._speech_samples += len(window.samples)
            yield Timed(window, (window.end - before) / SAMPLE_RATE)
            before = window.end
        self._duration = max(self._duration, length / SAMPLE_RATE)
        self._meter.add((length - before) / SAMPLE_RATE)

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
