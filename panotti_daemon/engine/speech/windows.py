"""Finds speech and packs it into windows: whatever the length of a recording, it passes through here block by block.

    blocks of samples -> SpeechDetector -> StretchFinder -> WindowPacker -> windows

The finder and the packer are pure: they see probabilities and positions, never audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples

FRAME = 512
"""Samples that Silero judges at once: 32 ms."""
WINDOW_SAMPLES = 20 * SAMPLE_RATE
"""Less than the 30 s that Whisper can take: the encoder's cost grows faster than the length, and with 30 s of speech
Whisper often leaves the last sentence to a window that never comes."""

# The thresholds are those of faster-whisper's batched pipeline.
SPEECH = 0.5
SILENCE = 0.35
MIN_SILENCE_FRAMES = 160 * SAMPLE_RATE // 1000 // FRAME
PAD_FRAMES = 400 * SAMPLE_RATE // 1000 // FRAME
LONGEST_SPEECH_FRAMES = WINDOW_SAMPLES // FRAME - 2 * PAD_FRAMES

ONSET = SAMPLE_RATE // 10
"""Speech is noticed up to so much too late, and lost too early."""
LONG_SILENCE = 2 * SAMPLE_RATE
"""A segment that seems to reach across this much cut-out silence is kept on one side of it."""


@dataclass(frozen=True)
class Stretch:
    """Speech and the silence kept around it: samples from `start` up to `end` on the track's clock."""

    start: int
    end: int
    silent_before: int = field(default=0, compare=False)
    silent_behind: int = field(default=0, compare=False)
    """Samples at its beginning and at its end in which nobody speaks."""
    foreign: bool = False
    """It was said on another track, and only heard on this one."""

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Window:
    """Stretches of speech, one after another, and their samples."""

    stretches: tuple[Stretch, ...]
    samples: Samples

    @property
    def end(self) -> int:
        return self.stretches[-1].end

    def on_track(self, start: int, end: int) -> Stretch:
        """Where on the track's clock a word was spoken that seems to last from `start` up to `end` of this window."""
        return place_word(self.stretches, start, end)


def place(stretches: tuple[Stretch, ...], start: int, end: int) -> Stretch:
    """Maps positions in joined stretches back to the track's clock.

    A span that reaches across a long silence goes to the side where more of it lies: a line of subtitles that stays
    for minutes helps nobody.
    """
    groups: list[list[Stretch]] = []
    end = max(end, start + 1)
    offset = 0
    for stretch in stretches:
        first, last = max(start, offset), min(end, offset + len(stretch))
        if first < last:
            piece = Stretch(stretch.start + first - offset, stretch.start + last - offset)
            if groups and 0 <= piece.start - groups[-1][-1].end < LONG_SILENCE:
                groups[-1].append(piece)
            else:
                groups.append([piece])
        offset += len(stretch)
    if not groups:
        return Stretch(stretches[-1].end, stretches[-1].end)
    longest = max(groups, key=lambda group: sum(map(len, group)))
    return Stretch(longest[0].start, longest[-1].end)


def place_word(stretches: tuple[Stretch, ...], start: int, end: int) -> Stretch:
    """Maps the place of a word in joined stretches back to the track's clock.

    The model gives silence to the words around it: a word is where most of it meets speech, within one stretch. One
    that meets none is at the edge of the nearest.
    """
    best, most = stretches[0], -math.inf
    offset = 0
    for stretch in stretches:
        first = offset + max(stretch.silent_before - ONSET, 0)
        last = offset + len(stretch) - max(stretch.silent_behind - ONSET, 0)
        overlap = min(end, last) - max(start, first)
        if overlap > most:
            most = overlap
            shift = stretch.start - offset
            best = Stretch(min(max(start, first), last) + shift, max(min(end, last), first) + shift)
        offset += len(stretch)
    return best


class StretchFinder:
    """Turns the speech probability of each frame into padded stretches, by hysteresis.

    Silence that is too short for the padding of both its neighbours is shared between them. Speech that goes on for
    longer than a window is cut where it is least likely to be speech. Positions are frames until a stretch is done.
    """

    def __init__(self) -> None:
        self._frame = 0
        self._start = 0
        """Of the stretch that is being made, padding included."""
        self._silent_before = 0
        """Frames of it."""
        self._speech_from: int | None = None
        """Where the speech that goes on began."""
        self._silent_from: int | None = None
        """Where it may have ended."""
        self._ended: int | None = None
        """Where the speech ended that still waits for its padding."""
        self._done = 0
        """Up to where stretches have been given out."""
        self._probabilities: list[float] = []
        """Since `_speech_from`."""

    @property
    def needed_from(self) -> int:
        """The first sample that a stretch to come may hold."""
        waiting = self._speech_from is not None or self._ended is not None
        return FRAME * (self._start if waiting else max(self._done, self._frame - PAD_FRAMES))

    def push(self, probability: float) -> Iterator[Stretch]:
        """Takes the next frame's probability; gives the stretch that it completes, if any."""
        if self._speech_from is None and probability >= SPEECH:
            if self._ended is not None:
                yield self._finished((self._ended + self._frame) // 2)
            self._start = max(self._done, self._frame - PAD_FRAMES)
            self._silent_before = self._frame - self._start
            self._speech_from = self._frame
        if self._speech_from is not None:
            yield from self._go_on(self._speech_from, probability)
        self._frame += 1
        if self._ended is not None and self._frame - self._ended >= 2 * PAD_FRAMES:
            yield self._finished(self._ended + PAD_FRAMES)

    def finish(self, total_samples: int) -> Iterator[Stretch]:
        if self._speech_from is not None:
            self._end_speech(self._silent_from or self._frame)
        if self._ended is not None:
            last = self._finished(self._ended + PAD_FRAMES)
            missing = max(last.end - total_samples, 0)
            yield replace(last, end=last.end - missing, silent_behind=max(last.silent_behind - missing, 0))

    def _go_on(self, speech_from: int, probability: float) -> Iterator[Stretch]:
        self._probabilities.append(probability)
        if probability >= SPEECH:
            self._silent_from = None
        elif probability < SILENCE and self._silent_from is None:
            self._silent_from = self._frame
        if self._silent_from is not None and self._frame - self._silent_from >= MIN_SILENCE_FRAMES:
            self._end_speech(self._silent_from)
        elif len(self._probabilities) == LONGEST_SPEECH_FRAMES:
            half = LONGEST_SPEECH_FRAMES // 2
            cut = min(range(half, LONGEST_SPEECH_FRAMES), key=self._probabilities.__getitem__)
            yield self._finished(speech_from + cut)
            self._start = self._speech_from = speech_from + cut
            self._silent_before = 0
            self._silent_from = None
            del self._probabilities[:cut]

    def _end_speech(self, end: int) -> None:
        self._ended, self._speech_from, self._silent_from = end, None, None
        self._probabilities.clear()

    def _finished(self, end: int) -> Stretch:
        silent_behind = 0 if self._ended is None else end - self._ended
        self._ended, self._done = None, end
        return Stretch(self._start * FRAME, end * FRAME, self._silent_before * FRAME, silent_behind * FRAME)


class WindowPacker:
    """Fills windows with stretches in their order, as many as fit."""

    def __init__(self) -> None:
        self._stretches: list[Stretch] = []

    def push(self, stretch: Stretch) -> tuple[Stretch, ...]:
        """Takes the next stretch, at most a window long; gives the window that it no longer fits into, or nothing."""
        full: tuple[Stretch, ...] = ()
        if sum(map(len, self._stretches)) + len(stretch) > WINDOW_SAMPLES:
            full = self.finish()
        self._stretches.append(stretch)
        return full

    def finish(self) -> tuple[Stretch, ...]:
        last = tuple(self._stretches)
        self._stretches.clear()
        return last


class SpeechDetector:
    """Silero VAD, with its state kept from one block to the next."""

    CONTEXT = 64
    """Samples of the frame before that the network sees again."""

    def __init__(self) -> None:
        from panotti_daemon.engine.speech.silero import session

        self._session = session()
        self._h = np.zeros((1, 1, 128), dtype=np.float32)
        self._c = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(self.CONTEXT, dtype=np.float32)

    def __call__(self, block: Samples) -> list[float]:
        """One probability for each frame; a last frame that is not full counts as if silence followed."""
        frames = np.pad(block, (0, -len(block) % FRAME)).reshape(-1, FRAME)
        contexts = np.vstack((self._context, frames[:-1, -self.CONTEXT :]))
        self._context = frames[-1, -self.CONTEXT :]
        inputs = {"input": np.hstack((contexts, frames)), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._session.run(None, inputs)
        return [float(probability) for probability in probabilities.reshape(-1)]


def _whole(stretch: Stretch) -> Iterable[Stretch]:
    return (stretch,)


def windows(
    blocks: Iterable[Samples],
    detect: Callable[[Samples], list[float]],
    divide: Callable[[Stretch], Iterable[Stretch]] = _whole,
) -> Iterator[Window]:
    """The speech in one track as windows, holding no more audio than the windows that are being filled: one with what
    was said on the track, and one with what is foreign.

    Every block but the last is a whole number of frames.
    """
    finder, own, foreign = StretchFinder(), _Filling(), _Filling()
    audio: Samples = np.empty(0, dtype=np.float32)
    offset = 0

    def packed(stretches: Iterable[Stretch]) -> Iterator[Window]:
        for stretch in stretches:
            for part in divide(stretch):
                filling = foreign if part.foreign else own
                yield from filling.push(part, audio[part.start - offset : part.end - offset])

    for block in blocks:
        audio = np.concatenate((audio, block))
        for probability in detect(block):
            yield from packed(finder.push(probability))
        kept_from = min(finder.needed_from, offset + len(audio))
        audio = audio[kept_from - offset :].copy()
        offset = kept_from
    yield from packed(finder.finish(offset + len(audio)))
    yield from own.finish()
    yield from foreign.finish()


class _Filling:
    """Packs stretches together with their samples. Recorders that write floats may go far beyond 1, which is more than
    Whisper, or a file for a server, can take."""

    def __init__(self) -> None:
        self._packer = WindowPacker()
        self._parts: list[Samples] = []

    def push(self, stretch: Stretch, samples: Samples) -> Iterator[Window]:
        yield from self._window(self._packer.push(stretch))
        self._parts.append(samples.copy())

    def finish(self) -> Iterator[Window]:
        yield from self._window(self._packer.finish())

    def _window(self, stretches: tuple[Stretch, ...]) -> Iterator[Window]:
        if stretches:
            samples = np.concatenate(self._parts)
            yield Window(stretches, samples / max(1.0, float(np.abs(samples).max())))
            self._parts.clear()
