"""One recording on its way through servers: its speech is found here, and sent in parts, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from panotti_daemon.engine.checkpoints import Earlier, Place
from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.media import audio
from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples
from panotti_daemon.engine.media.tracks import worth_hearing
from panotti_daemon.engine.messages import Progress, Remote, Track
from panotti_daemon.engine.meter import Meter
from panotti_daemon.engine.remote.answers import Answer
from panotti_daemon.engine.remote.calls import Caller, Upload
from panotti_daemon.engine.remote.fleet import Fleet, ServerFailed, ServerMisfit
from panotti_daemon.engine.remote.packing import MEDIA_TYPES, NAMES, pack
from panotti_daemon.engine.speech.hearing import UNDETERMINED, Hearing, Timed
from panotti_daemon.engine.speech.windows import Stretch, place
from panotti_daemon.errors import ServerUnavailable
from panotti_daemon.models.transcript.models import (
    Checkpoint,
    DecodedWindow,
    RequestedSettings,
    Segment,
    Transcription,
)
from panotti_daemon.settings.servers import RemoteSettings, Server

HEARTBEAT_SECONDS = 15.0
"""Whoever waits is told that it goes on, at least so often."""
_MOST_COMPRESSION = 2.4
_LEAST_LOGPROB = -1.0


@dataclass(frozen=True)
class Part:
    """Some minutes of speech of one track, with the silence between left out."""

    track: int
    stretches: tuple[Stretch, ...]
    samples: Samples
    seconds: float
    """Of the track that are done when it is."""

    @property
    def speech(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @property
    def key(self) -> Place:
        return self.track, self.stretches[0].start, self.stretches[-1].end

    def on_clock(self, start: float, end: float) -> tuple[float, float]:
        """Seconds of the recording, of seconds in this part."""
        found = place(self.stretches, round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        return round(found.start / SAMPLE_RATE, 3), round(found.end / SAMPLE_RATE, 3)


class Servers:
    """Those of the settings, with what is known of each from one recording to the next."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._fleet = Fleet(remote.settings.servers)

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
        """Parts are sent as the gate lets them.

        Raises:
            JobEnded: by the gate.
            MediaError, SourceUnavailable: a track cannot be decoded.
            ServerUnavailable, ServerRefused: with the server's name and words.
        """
        self._fleet.begin()
        warnings: list[str] = []
        tracks = worth_hearing(tracks, warnings.append)
        lengths = [audio.probe(track.path).duration for track in tracks]
        total = None if None in lengths else sum(length or 0.0 for length in lengths)
        meter = Meter(total, " and ".join(map(model_name, self.remote.settings.servers)), tell)
        with closing(Caller(self.remote.settings.timeout_seconds, self.remote.keys)) as caller:
            job = RemoteJob(
                self.remote.settings,
                self._fleet,
                caller,
                tracks,
                settings,
                done=done,
                gate=gate,
                meter=meter,
                keep=keep,
            )
            result = job.run()
        return result.model_copy(update={"warnings": (*warnings, *result.warnings)})


class RemoteJob:
    """Runs once. What a checkpoint of these servers holds is not sent again."""

    def __init__(
        self,
        remote: RemoteSettings,
        fleet: Fleet,
        caller: Caller,
        tracks: Sequence[Track],
        settings: RequestedSettings,
        *,
        done: Iterable[Checkpoint],
        gate: Gate,
        meter: Meter,
        keep: Callable[[Checkpoint], None],
    ) -> None:
        self._remote = remote
        self._fleet = fleet
        self._caller = caller
        self._tracks = tracks
        self._settings = settings
        self._gate = gate
        self._meter = meter
        self._keep = keep
        self._earlier = Earlier(done, {model_name(server) for server in remote.servers})
        self._language = settings.language if settings.language != "auto" else None
        self._has_begun = self._language is not None
        """What is spoken is known, or no server will say: several parts may be under way."""
        self._models: set[str] = set()
        self._hearing = Hearing(tracks, noise_reduction=settings.noise_reduction, gate=gate, meter=meter)

    def run(self) -> Transcription:
        self._meter.tell()
        decoded = self._decoded()
        used = " and ".join(sorted(self._models))
        if used:
            self._hearing.warnings.append(f"It was transcribed by {used}, not on this machine")
        segments = [segment for window in decoded for segment in window.segments]
        if self._settings.words and segments and not any(segment.words for segment in segments):
            self._hearing.warnings.append("The server gave no times of single words")
        was_asked = self._settings.language != "auto"
        model = used or model_name(self._remote.servers[0])
        return self._hearing.transcription(decoded, model, self._language, 1.0 if was_asked else 0.0)

    def _decoded(self) -> list[DecodedWindow]:
        """One part more is read than the servers take at once. When one fails, those under way are awaited and kept."""
        at_once = sum(server.at_once for server in self._remote.servers)
        decoded: list[DecodedWindow] = []
        pending: deque[Future[DecodedWindow]] = deque()
        with ThreadPoolExecutor(at_once) as pool:
            try:
                for part in self._parts():
                    if found := self._earlier.find(part.key):
                        decoded.append(self._taken_over(part, *found))
                        continue
                    while len(pending) >= (at_once + 1 if self._has_begun else 1):
                        decoded.append(self._next(pending))
                    pending.append(pool.submit(self._ask, part))
                while pending:
                    decoded.append(self._next(pending))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return sorted(decoded, key=lambda window: (window.track, window.start))

    def _next(self, pending: deque[Future[DecodedWindow]]) -> DecodedWindow:
        while not wait([pending[0]], timeout=HEARTBEAT_SECONDS, return_when=FIRST_COMPLETED).done:
            self._meter.tell()
        return pending.popleft().result()

    def _taken_over(self, part: Part, checkpoint: Checkpoint, window: DecodedWindow) -> DecodedWindow:
        self._models.add(checkpoint.model)
        self._heard(window, checkpoint.language if checkpoint.language != UNDETERMINED else None)
        self._meter.skip(part.seconds, part.speech)
        return window

    def _parts(self) -> Iterator[Part]:
        most = int(self._remote.part_minutes * 60 * SAMPLE_RATE)
        for number, track in enumerate(self._tracks):
            yield from parts(number, self._hearing.windows(track), most)

    def _ask(self, part: Part) -> DecodedWindow:
        codec = self._remote.codec
        upload = Upload(NAMES[codec], MEDIA_TYPES[codec], pack(part.samples, codec))
        server, answer = self._answer(upload, part)
        model = model_name(server)
        window = self._window(part, answer)
        self._heard(window, answer.language_code)
        self._models.add(model)
        self._keep(
            Checkpoint(
                model=model,
                language=self._language or UNDETERMINED,
                language_probability=0.0,
                windows=(window,),
                fraction=self._meter.fraction or 0.0,
            )
        )
        return window

    def _heard(self, window: DecodedWindow, language: str | None) -> None:
        """All parts are asked for one language: that of the first one with words in it."""
        if window.segments and not self._has_begun:
            self._language, self._has_begun = language, True

    def _answer(self, upload: Upload, part: Part) -> tuple[Server, Answer]:
        """Of whichever server comes to it, after `attempts` failures at most."""
        failures: list[str] = []
        while len(failures) < self._remote.attempts:
            try:
                with self._fleet.server() as server, self._gate, self._meter.decoding(part.seconds, part.speech):
                    return server, self._caller.ask(server, upload, self._settings, self._language)
            except ServerFailed as error:
                failures.append(str(error))
            except ServerMisfit:
                continue  # the fleet asks it no more, and knows why
        raise ServerUnavailable(failures[-1])

    def _window(self, part: Part, answer: Answer) -> DecodedWindow:
        label = self._tracks[part.track].label
        segments = tuple(
            _on_clock(part, segment, label) for segment in answer.on_clock(len(part.samples) / SAMPLE_RATE)
        )
        _, start, end = part.key
        return DecodedWindow(
            track=part.track,
            start=start,
            end=end,
            segments=segments,
            transcribed_seconds=sum(segment.end - segment.start for segment in segments),
            again=False,
            suspect=any(
                segment.compression_ratio > _MOST_COMPRESSION or segment.avg_logprob < _LEAST_LOGPROB
                for segment in segments
            ),
        )


def model_name(server: Server) -> str:
    """Says where it is, too; no model of this machine has such a name."""
    return f"{server.model} at {server.name}"


def parts(track: int, found: Iterable[Timed], most_samples: int) -> Iterator[Part]:
    """As many windows together as fit, at least one."""
    together: list[Timed] = []
    size = 0
    for timed in found:
        length = len(timed.window.samples)
        if together and size + length > most_samples:
            yield _part(track, together)
            together, size = [], 0
        together.append(timed)
        size += length
    if together:
        yield _part(track, together)


def _part(track: int, together: Sequence[Timed]) -> Part:
    return Part(
        track=track,
        stretches=tuple(stretch for timed in together for stretch in timed.window.stretches),
        samples=np.concatenate([timed.window.samples for timed in together]),
        seconds=sum(timed.seconds for timed in together),
    )


def _on_clock(part: Part, segment: Segment, label: str | None) -> Segment:
    start, end = part.on_clock(segment.start, segment.end)
    words = [
        word.model_copy(update=dict(zip(("start", "end"), part.on_clock(word.start, word.end), strict=True)))
        for word in segment.words
    ]
    within = [
        word.model_copy(update={"start": min(max(word.start, start), end), "end": min(max(word.end, start), end)})
        for word in words
    ]
    return segment.model_copy(update={"start": start, "end": end, "track": label, "words": tuple(within)})
