"""A Whisper model in memory, and what it turns tracks into.

The speed comes from windows that hold nothing but speech, from one CTranslate2 worker of one thread for each core, and
from the quick way of the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media import audio
from panotti_daemon.engine.media.tracks import worth_hearing
from panotti_daemon.engine.messages import Progress, Track
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.models.store import ResolvedModel
from panotti_daemon.engine.whisper.job import Job
from panotti_daemon.engine.whisper.loading import load
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Segment, Transcription
from panotti_daemon.settings.resources import DEFAULT, Resources

_HARDLY_UNDERSTOOD = -0.8
"""Mean log probability. That of tiny.en is -0.25 on clean English, -0.35 on noisy, and -1.0 to -2.9 on German, French,
Italian, Spanish and Polish."""


class Transcriber:
    """A model in memory, with a worker for each window that is decoded at a time."""

    def __init__(self, model: ResolvedModel, workers: int, resources: Resources = DEFAULT) -> None:
        """Raises what `load` raises."""
        self.model = model
        self.workers = workers
        self._whisper = load(model, workers, resources)

    def transcribe(
        self,
        tracks: Sequence[Track],
        settings: RequestedSettings,
        *,
        done: Iterable[Checkpoint] = (),
        gate: Gate,
        tell: Callable[[Progress], None] = lambda _: None,
        keep: Callable[[Checkpoint], None] = lambda _: None,
    ) -> Transcription:
        """Windows are begun as the gate lets them.

        Raises:
            JobEnded: by the gate.
            MediaError, SourceUnavailable: a track cannot be decoded.
            ModelUnavailable: the model does not know the language.
        """
        if settings.language != "auto" and settings.language not in self._whisper.supported_languages:
            raise ModelUnavailable(f"The model {self.model.name} does not know the language {settings.language!r}")
        if settings.task == "translate" and not self._whisper.model.is_multilingual:
            raise ModelUnavailable(f"The model {self.model.name} cannot translate: choose one that can, such as 'base'")
        warnings = list(self.model.warnings)
        tracks = worth_hearing(tracks, warnings.append)
        lengths = [audio.probe(track.path).duration for track in tracks]
        total = None if None in lengths else sum(length or 0.0 for length in lengths)
        meter = Meter(total, self.model.name, tell)
        job = Job(
            self._whisper,
            self.model.name,
            self.workers,
            tracks,
            settings,
            done=done,
            gate=gate,
            meter=meter,
            keep=keep,
        )
        result = job.run()
        if self.model.english_only and hardly_understood(result.segments):
            warnings.append(
                f"The model {self.model.name} knows English only, and hardly understood this recording. If another "
                "language is spoken in it, choose a multilingual model such as 'base'"
            )
        return result.model_copy(update={"warnings": (*warnings, *result.warnings)})


def hardly_understood(segments: Sequence[Segment]) -> bool:
    """Whether the model was as unsure as with a language that it does not know."""
    seconds = sum(segment.end - segment.start for segment in segments)
    sure = sum(segment.avg_logprob * (segment.end - segment.start) for segment in segments)
    return seconds > 0 and sure / seconds < _HARDLY_UNDERSTOOD
