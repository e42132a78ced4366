"""Writes a recording's sound anew in another codec, and reads it back: what is not proven equal is not left behind."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import av
import av.error

from panotti_daemon.engine.media.audio import JITTER_SECONDS, opened
from panotti_daemon.engine.messages import Codec
from panotti_daemon.errors import MediaError, SourceUnavailable

OPUS_BIT_RATE = 48_000
"""For each channel: speech through Opus cannot be told from the original at that rate (RFC 6716, section 1.1)."""
OPUS_RATE = 48_000
LENGTH_TOLERANCE_SECONDS = 0.1
_WHOLE_NUMBERS = {"u8": "s16", "s16": "s16", "s32": "s32"}
"""Sample formats that FLAC can hold, and as what."""


class _Sound:
    """What a decoder gave, so far: to compare one file's with another's."""

    def __init__(self) -> None:
        self.rate = self.channels = self.samples = 0
        self._pcm = hashlib.blake2b(digest_size=20)
        self._widener: av.AudioResampler | None = None

    @property
    def seconds(self) -> float:
        return self.samples / self.rate if self.rate else 0.0

    def hear(self, frame: av.AudioFrame) -> None:
        found = (frame.sample_rate, len(frame.layout.channels))
        if self._widener is None:
            self.rate, self.channels = found
            # the widest whole numbers: every narrower one fits into them
            self._widener = av.AudioResampler(format="s32", layout=frame.layout, rate=self.rate)
        if found != (self.rate, self.channels):
            raise MediaError("its rate or its number of channels changes in the middle")
        self.samples += frame.samples
        self._add(self._widener.resample(frame))

    def end(self) -> None:
        if self._widener:
            self._add(self._widener.resample(None))

    def equals(self, other: _Sound) -> bool:
        mine = (self.rate, self.channels, self.samples, self._pcm.digest())
        return mine == (other.rate, other.channels, other.samples, other._pcm.digest())

    def _add(self, frames: Iterable[av.AudioFrame]) -> None:
        for frame in frames:
            self._pcm.update(frame.to_ndarray().tobytes())


def encode(source: Path, target: Path, codec: Codec) -> None:
    """FLAC is compared with the source sample by sample, Opus by its length. `target` must not be there yet; until
    somebody decides otherwise, only its owner may read it.

    Raises:
        MediaError: it would lose something, or cannot be decoded without fault.
        SourceUnavailable: the source cannot be read now.
        OSError: the target cannot be written.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise SourceUnavailable(f"{source.name} cannot be read now ({error.strerror or error})") from error
    with file, ExitStack() as undo, open(target, "xb+", opener=_for_its_owner) as out:
        undo.callback(target.unlink, missing_ok=True)
        try:
            before = _write(file, out, codec)
            out.flush()
            os.fsync(out.fileno())
            out.seek(0)
            after = _read(out)
        except av.error.FFmpegError as error:
            raise MediaError(f"FFmpeg cannot re-encode it ({error.strerror})") from error
        _compare(before, after, codec)
        undo.pop_all()


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(file: BinaryIO, out: BinaryIO, codec: Codec) -> _Sound:
    sound = _Sound()
    with opened(file) as container:
        stream = _only_stream(container)
        container_format = "flac" if codec == "flac" else "ogg"
        with av.open(out, "w", format=container_format) as encoded:
            encoded.metadata.update(container.metadata)
            layout = stream.codec_context.layout.name
            if codec == "flac":
                written = encoded.add_stream("flac", rate=stream.codec_context.sample_rate, layout=layout)
                written.codec_context.format = _flac_format(stream)
            else:
                written = encoded.add_stream("libopus", rate=OPUS_RATE, layout=layout)
                written.codec_context.bit_rate = OPUS_BIT_RATE * len(stream.codec_context.layout.channels)
            for frame in _frames(container, stream):
                sound.hear(frame)
                encoded.mux(written.encode(frame))
            encoded.mux(written.encode(None))
        sound.end()
        _check_length(stream, sound)
    return sound


def _read(file: BinaryIO) -> _Sound:
    sound = _Sound()
    with opened(file) as container:
        for frame in _frames(container, container.streams.audio[0]):
            sound.hear(frame)
    sound.end()
    return sound


def _frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    """Without times: samples are counted here. FFmpeg would otherwise leave out what is damaged, and say nothing."""
    stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
    origin, seconds = None, 0.0
    for frame in container.decode(stream):
        if frame.is_corrupt:
            raise MediaError("it is damaged")
        if frame.time is not None:
            origin = frame.time if origin is None else origin
            if abs(frame.time - origin - seconds) > JITTER_SECONDS:
                raise MediaError("there are gaps in it, without which a transcript's times would be wrong")
        seconds += frame.samples / frame.sample_rate
        frame.pts = None
        yield frame


def _check_length(stream: av.AudioStream, sound: _Sound) -> None:
    """Of lossless formats, which know theirs to the sample; others may only estimate it."""
    if not (stream.codec_context.codec.lossless and stream.duration and stream.time_base):
        return
    declared = float(stream.duration * stream.time_base)
    if abs(declared - sound.seconds) > LENGTH_TOLERANCE_SECONDS:
        raise MediaError(f"it is damaged: it says that it lasts {declared:.1f} s, and {sound.seconds:.1f} s are there")


def _only_stream(container: av.container.InputContainer) -> av.AudioStream:
    if container.streams.video:
        raise MediaError("there are pictures in it, which would be lost")
    if len(container.streams.audio) != 1:
        raise MediaError(f"there are {len(container.streams.audio)} sound tracks in it, and only one would be kept")
    return container.streams.audio[0]


def _flac_format(stream: av.AudioStream) -> str:
    name = stream.codec_context.format.packed.name
    if not stream.codec_context.codec.lossless:
        raise MediaError("it is compressed with a loss already: as FLAC it would only grow")
    if name not in _WHOLE_NUMBERS:
        raise MediaError("its samples are no whole numbers, which is all that FLAC can hold")
    return _WHOLE_NUMBERS[name]


def _compare(before: _Sound, after: _Sound, codec: Codec) -> None:
    if not before.samples:
        raise MediaError("there is no sound in it")
    if codec == "flac" and not after.equals(before):
        raise MediaError("the FLAC that was made of it does not hold the same samples")
    if codec == "opus" and abs(after.seconds - before.seconds) > LENGTH_TOLERANCE_SECONDS:
        raise MediaError(f"the Opus that was made of it lasts {after.seconds:.1f} s and not {before.seconds:.1f} s")
