"""FFmpeg, through PyAV: says what a file is, and decodes one to the mono 16 kHz that Whisper hears.

Files are opened here and handed to FFmpeg as streams of bytes. It sees neither name nor path, so content alone decides
what a file is, and nothing in a file can make FFmpeg open another file or an address.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

import av
import av.container
import av.error

from panotti_daemon.engine.media.noise import denoised
from panotti_daemon.engine.messages import Probe, ProbeKind
from panotti_daemon.errors import MediaError, SourceUnavailable

if TYPE_CHECKING:
    # numpy is loaded by the first frame that becomes samples: a process that only probes stays small.
    import numpy as np
    from numpy.typing import NDArray

Samples: TypeAlias = "NDArray[np.float32]"
SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 8 * SAMPLE_RATE

# FFmpeg opens almost anything as something: text as subtitles or ANSI art, playlists as the files they name.
_FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dv,eac3,flac,flv,loas,matroska,mov,mp3,mp4,mpc,mpc8,mpeg,"
    "mpegts,mxf,nut,ogg,oma,rm,tak,tta,voc,w64,wav,wtv,wv"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}

_SIGNATURES = {
    0: (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75", b"caff"),
    4: (b"ftyp", b"moov", b"mdat"),
}
_UNKNOWN_CODEC = "in a codec that FFmpeg does not know"
_PACKETS_TO_TRY = 500
_READ_ERRORS_TO_SKIP = 50
JITTER_SECONDS = 0.2
"""Frames this far from where counting samples puts them are where they should be."""
_JUMP_SECONDS = 0.5
"""Frames that come earlier than by this are where another clock begins."""
_MOST_DRIFT = 0.001
"""How much faster the samples may come than the recording's clock goes: the rest is left out, a frame now and then."""
_LONGEST_GAP_SECONDS = 3600.0
"""That is believed of a file that does not declare its length."""
_LOUDEST = 2.0**31
"""Some programs write whole numbers as floats, of which 1 should be the loudest. What is beyond is no sound."""


class _Nameless:
    """A file without its name: FFmpeg would let the extension decide."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


@contextmanager
def opened(file: BinaryIO) -> Iterator[av.container.InputContainer]:
    with av.open(_Nameless(file), "r", options=_OPTIONS, metadata_errors="replace") as container:
        yield container


def probe(path: Path) -> Probe:
    """Never raises: whatever is wrong with the file is the answer."""
    try:
        with path.open("rb") as file:
            return _probe_open_file(path, file)
    except FileNotFoundError:
        return Probe(path=path, kind=ProbeKind.VANISHED, message="it is gone")
    except IsADirectoryError:
        return Probe(path=path, kind=ProbeKind.NOT_MEDIA, message="it is a folder")
    except PermissionError:
        return Probe(path=path, kind=ProbeKind.UNREADABLE, message="Panotti is not allowed to read it")
    except OSError as error:
        return Probe(path=path, kind=ProbeKind.UNREADABLE, message=f"it cannot be read ({error.strerror or error})")


def _probe_open_file(path: Path, file: BinaryIO) -> Probe:
    head = file.read(4096)
    file.seek(0)
    if not head:
        return Probe(path=path, kind=ProbeKind.EMPTY, message="it is empty")
    if _is_text(head):
        return Probe(path=path, kind=ProbeKind.NOT_MEDIA, message="it is text, not a recording")
    try:
        with opened(file) as container:
            return _probe_container(path, container)
    except av.error.FFmpegError as error:
        if _has_media_signature(head):
            message = f"it is damaged: FFmpeg cannot open it ({error.strerror})"
        else:
            message = "it is not a recording in any format that FFmpeg knows"
        return Probe(path=path, kind=ProbeKind.NOT_MEDIA, message=message)


def _probe_container(path: Path, container: av.container.InputContainer) -> Probe:
    streams = container.streams.audio
    decodable = _decodable(container)
    details = Probe(
        path=path,
        kind=ProbeKind.MEDIA,
        duration=_declared_seconds(container),
        format=container.format.name,
        audio_streams=len(streams),
        channels=tuple(stream.codec_context.channels if stream in decodable else 0 for stream in streams),
    )
    if not streams:
        message = "there is no audio in it: only video" if container.streams.video else "there is no audio in it"
        return details.model_copy(update={"kind": ProbeKind.NO_AUDIO, "message": message})
    if not decodable:
        return details.model_copy(update={"kind": ProbeKind.NOT_MEDIA, "message": f"its audio is {_UNKNOWN_CODEC}"})
    errors = 0
    for _, packet in zip(range(_PACKETS_TO_TRY), container.demux(decodable[0]), strict=False):
        try:
            if packet.decode():
                return details
        except av.error.FFmpegError:
            errors += 1
    if errors:
        message = "it is damaged: FFmpeg cannot decode its audio"
        return details.model_copy(update={"kind": ProbeKind.NOT_MEDIA, "message": message})
    message = "there is no audio in it: its audio track is empty"
    return details.model_copy(update={"kind": ProbeKind.NO_AUDIO, "message": message})


def _decodable(container: av.container.InputContainer) -> list[av.AudioStream]:
    """The audio streams that FFmpeg has a decoder for. Some phones add one that only their maker can play."""
    return [stream for stream in container.streams.audio if stream.codec_context]


def _is_text(head: bytes) -> bool:
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() or character == "\ufeff" for character in text)


def _has_media_signature(head: bytes) -> bool:
    return any(head[offset:].startswith(signatures) for offset, signatures in _SIGNATURES.items())


def _declared_seconds(container: av.container.InputContainer) -> float | None:
    stream = container.streams.audio[0] if container.streams.audio else None
    if container.duration is not None and container.duration > 0:
        return container.duration / av.time_base
    if stream is not None and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None


def decode(
    path: Path,
    warn: Callable[[str], None],
    *,
    stream: int | None = None,
    channel: int | None = None,
    noise_reduction: bool = False,
) -> Iterator[Samples]:
    """An audio stream as blocks of `BLOCK_SAMPLES` mono samples at 16 kHz; only the last may be shorter.

    Streams and channels are counted from 0. Without a number, it is the first stream, and all of its channels mixed.
    A sample's position is its time on the recording's own clock, which is the same for all streams: gaps between frames
    become silence. Damaged parts are skipped with a warning.

    Raises:
        MediaError: nothing in the file can be decoded, or it has no such stream or channel.
        SourceUnavailable: the file, or its drive, is gone.
    """
    try:
        with path.open("rb") as file, opened(file) as container:
            blocks = map(_audible, _in_blocks(_Decoder(container, warn, stream, channel).pieces()))
            yield from _in_blocks(denoised(blocks, SAMPLE_RATE)) if noise_reduction else blocks
    except av.error.FFmpegError as error:
        raise MediaError(f"{path.name} cannot be decoded by FFmpeg ({error.strerror})") from error
    except PermissionError as error:
        raise MediaError(f"Panotti is not allowed to read {path.name}") from error
    except OSError as error:
        raise SourceUnavailable(f"{path.name} cannot be read now ({error.strerror or error})") from error


class _Decoder:
    """Decodes one audio stream of a container, or one channel of it, keeping the recording's clock."""

    def __init__(
        self,
        container: av.container.InputContainer,
        warn: Callable[[str], None],
        stream: int | None,
        channel: int | None,
    ) -> None:
        self._container = container
        self._warn = warn
        self._stream = self._chosen(stream)
        self._channel = channel
        if channel is not None and channel >= self._stream.codec_context.channels:
            raise MediaError(f"There is no channel {channel + 1} in the file")
        self._resampler: av.AudioResampler | None = None
        self._input: tuple[str, str, int] | None = None
        self._given = 0
        """Samples given out so far, which is where the recording's clock stands."""
        self._left_out = 0.0
        """Seconds."""
        self._origin = (container.start_time or 0) / av.time_base
        # Where timestamps may jump, FFmpeg takes the jumps for a part of the length.
        jumps = container.format.flags & cast(int, av.format.Flags.ts_discont.value)
        self._length = None if jumps else _declared_seconds(container)
        self._errors = 0

    def _chosen(self, stream: int | None) -> av.AudioStream:
        streams, decodable = self._container.streams.audio, _decodable(self._container)
        if not streams:
            raise MediaError("There is no audio in the file")
        if not decodable:
            raise MediaError(f"The audio in the file is {_UNKNOWN_CODEC}")
        if stream is None:
            if len(decodable) > 1:
                self._warn(f"The file has {len(decodable)} audio streams; only the first was transcribed")
            return decodable[0]
        if stream >= len(streams):
            raise MediaError(f"There is no audio stream {stream + 1} in the file")
        if streams[stream] not in decodable:
            raise MediaError(f"FFmpeg cannot decode audio stream {stream + 1} of the file")
        return streams[stream]

    def pieces(self) -> Iterator[Samples]:
        for frame in self._frames():
            gap = self._gap_before(frame)
            if gap < -JITTER_SECONDS and self._may_leave_out(frame):
                continue
            for piece in (*_silence(gap), *self._resampled(frame)):
                self._given += len(piece)
                yield piece
        yield from self._resampled(None)
        if self._given == 0:
            raise MediaError("FFmpeg finds no audio in the file that it can decode")
        if self._errors:
            self._warn(f"The file is damaged: FFmpeg could not decode it in {self._errors} places")

    def _frames(self) -> Iterator[av.AudioFrame]:
        for packet in self._packets():
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self._errors += 1

    def _packets(self) -> Iterator[av.Packet[av.AudioStream]]:
        for _ in range(_READ_ERRORS_TO_SKIP):
            try:
                yield from self._container.demux(self._stream)
            except av.error.FFmpegError:
                self._errors += 1
            else:
                return
        minutes, seconds = divmod(round(self._given / SAMPLE_RATE), 60)
        self._warn(f"FFmpeg cannot read what comes after {minutes}:{seconds:02} in the file")

    def _gap_before(self, frame: av.AudioFrame) -> float:
        """Seconds between where a frame should begin and where it would; less than 0 where it comes too early."""
        if frame.time is None:
            return 0.0
        time = frame.time - self._origin
        gap = time - self._given / SAMPLE_RATE
        believable = time <= self._length + 1 if self._length else gap < _LONGEST_GAP_SECONDS
        if gap < -_JUMP_SECONDS or (gap > JITTER_SECONDS and not believable):
            self._origin += gap
            return 0.0
        return gap

    def _may_leave_out(self, frame: av.AudioFrame) -> bool:
        left_out = self._left_out + frame.samples / frame.sample_rate
        if left_out > _MOST_DRIFT * self._given / SAMPLE_RATE:
            return False
        self._left_out = left_out
        return True

    def _resampled(self, frame: av.AudioFrame | None) -> Iterator[Samples]:
        """What a frame, or the end of them, brings out of the resampler."""
        import numpy as np

        if frame is not None:
            properties = (frame.format.name, frame.layout.name, frame.sample_rate)
            if properties != self._input:
                yield from self._resampled(None)
                mixes = self._channel_of(frame) is None and frame.layout.nb_channels <= 2
                self._resampler = av.AudioResampler(format="flt", layout="mono" if mixes else None, rate=SAMPLE_RATE)
                self._input = properties
        if self._resampler is not None:
            for resampled in self._resampler.resample(frame):
                samples = resampled.to_ndarray().astype(np.float32, copy=False)
                channels = samples.reshape(-1, resampled.layout.nb_channels)
                channel = self._channel_of(resampled)
                yield _mixed(channels) if channel is None else channels[:, channel]

    def _channel_of(self, frame: av.AudioFrame) -> int | None:
        """Where the channels become fewer midway, those that are left are mixed."""
        there = self._channel is not None and self._channel < frame.layout.nb_channels
        return self._channel if there else None


def _mixed(channels: Samples) -> Samples:
    """As loud as FFmpeg mixes two channels. Of more, it leaves some out, by what they may be for in a cinema, while
    here each is somebody's microphone; and of some numbers it can make nothing."""
    number = channels.shape[1]
    return channels[:, 0] if number == 1 else cast("Samples", channels.sum(axis=1) / math.sqrt(number))


def _audible(block: Samples) -> Samples:
    import numpy as np

    return np.where(np.abs(block) < _LOUDEST, block, np.float32(0))


def _silence(seconds: float) -> Iterator[Samples]:
    """What fills a gap, if it is more than jitter."""
    import numpy as np

    if seconds > JITTER_SECONDS:
        total = round(seconds * SAMPLE_RATE)
        for start in range(0, total, BLOCK_SAMPLES):
            yield np.zeros(min(BLOCK_SAMPLES, total - start), dtype=np.float32)


def _in_blocks(pieces: Iterable[Samples]) -> Iterator[Samples]:
    import numpy as np

    waiting: list[Samples] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if count >= BLOCK_SAMPLES:
            joined = np.concatenate(waiting)
            whole = count - count % BLOCK_SAMPLES
            yield from np.split(joined[:whole], whole // BLOCK_SAMPLES)
            waiting, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(waiting)
