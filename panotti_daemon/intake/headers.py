"""What a recording's header promises, compared with what is in the file.

FFmpeg hides truncation: of a WAV that declares 20 s and holds 2 s it reports 2 s. So before a recording counts as
whole, the lengths that its container declares are read here: some bytes of its head, and of the tail of FLAC and Ogg.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from panotti_daemon.intake import flac

ByteOrder = Literal["little", "big"]

MAX_CHUNKS = 10_000
"""Boxes or chunks that are looked at in one file, so that a hostile or broken one cannot keep us busy."""


@dataclass(frozen=True)
class Promise:
    kept: bool | None
    """True: what the header promises is there. False: less is there. None: it promises nothing that we can check."""
    unknown_length: bool = False
    """The header says that the length is not known yet, or never was: a streamed WAV, AIFF or FLAC."""
    detail: str = ""
    """What is missing, in words for the user."""


NO_PROMISE = Promise(kept=None)
UNKNOWN_LENGTH = Promise(kept=None, unknown_length=True, detail="its header does not say how long it is")
KEPT = Promise(kept=True)
HEADER_CUT_SHORT = Promise(kept=False, detail="its header is cut short")
NO_INDEX_YET = Promise(kept=False, detail="its index (the moov box) is not there yet")


def promise(path: Path) -> Promise:
    """Never raises for any content; an OSError says that the file cannot be read."""
    with os.fdopen(_open_without_waiting(path), "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        head = _read(file, 0, 16)
        match head[:4], head[4:8], head[8:12]:
            case ((b"RIFF" | b"RF64" | b"BW64" | b"FORM"), _, form) if len(form) < 4:
                return HEADER_CUT_SHORT
            case ((b"RIFF" | b"RF64" | b"BW64"), _, b"WAVE"):
                return _wave(file, size)
            case b"FORM", _, b"AIFF" | b"AIFC":
                return _aiff(file, size)
            case _, b"moov" | b"mdat", _:
                return _mp4(file, size)
            case _, b"ftyp" | b"wide" | b"pnot", _ if head[:2] == b"\0\0":
                return _mp4(file, size)
            case b"OggS", _, _:
                return _ogg(file, size)
        start = flac.start(head)
        if _read(file, start, 4) == flac.MARKER:
            return _flac(file, start, size)
        return NO_PROMISE


def _open_without_waiting(path: Path) -> int:
    """A pipe that took the recording's place would block an ordinary open until somebody writes to it."""
    if sys.platform == "win32":
        return os.open(path, os.O_RDONLY | os.O_BINARY)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


# RIFF/WAVE with its 64-bit forms, and AIFF: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats,
# RF64 and BW64: EBU Tech 3306 and ITU-R BS.2088


def _chunks(file: BinaryIO, size: int, order: ByteOrder) -> Iterator[tuple[bytes, int, int]]:
    """Of each chunk after the 12 bytes of the form: its id, where its body starts, and its declared length."""
    offset = 12
    for _ in range(MAX_CHUNKS):
        header = _read(file, offset, 8) if offset + 8 <= size else b""
        if len(header) < 8:
            return
        length = int.from_bytes(header[4:], order)
        yield header[:4], offset + 8, length
        offset += 8 + length + length % 2


def _wave(file: BinaryIO, size: int) -> Promise:
    """Trusts the data chunk, not the length of the form, which many writers leave wrong."""
    bytes_per_second = 0
    length64 = 0
    for name, start, declared in _chunks(file, size, "little"):
        match name:
            case b"ds64":
                length64 = int.from_bytes(_read(file, start + 8, 8), "little")
            case b"fmt ":
                bytes_per_second = int.from_bytes(_read(file, start + 8, 4), "little")
            case b"data":
                length = length64 if declared == 0xFFFFFFFF and 0 < length64 < 1 << 63 else declared
                return _audio(length, size - start, bytes_per_second)
    return HEADER_CUT_SHORT


def _aiff(file: BinaryIO, size: int) -> Promise:
    for name, start, declared in _chunks(file, size, "big"):
        if name == b"SSND":
            # Eight bytes (an offset and a block size) stand before the samples.
            return _audio(max(0, declared - 8), size - start - 8, 0)
    return HEADER_CUT_SHORT


def _audio(promised: int, present: int, bytes_per_second: int) -> Promise:
    if 0 < promised <= present:
        return KEPT
    if _is_placeholder(promised):
        return UNKNOWN_LENGTH
    return _broken(promised, max(0, present), bytes_per_second)


def _is_placeholder(length: int) -> bool:
    """0, or about as much as fits into 31 or 32 bits, as FFmpeg, SoX and arecord write it when they stream."""
    return length == 0 or 0x7FFF0000 <= length <= 0x7FFFFFFF or 0xFFFF0000 <= length <= 0xFFFFFFFF


def _broken(promised: int, present: int, units_per_second: int) -> Promise:
    if units_per_second:
        total, there = f"{promised / units_per_second:.1f} s", f"{present / units_per_second:.1f} s"
    else:
        total, there = f"{promised:,} bytes", f"{present:,}"
    return Promise(kept=False, detail=f"its header promises {total}, {there} are there")


def _mp4(file: BinaryIO, size: int) -> Promise:
    """ISO/IEC 14496-12 and QuickTime: whole when every box fits and the index (moov) and the media (mdat) are there.

    A fragmented file can end after any fragment. Only one with its closing index (mfra) is known to be whole.
    """
    seen: set[bytes] = set()
    offset = 0
    for _ in range(MAX_CHUNKS):
        if offset == size:
            break
        header = _read(file, offset, 16)
        length, name = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        to_the_end = length == 0 and len(header) >= 8
        if to_the_end:
            length = size - offset
        if not 8 <= length <= size - offset:
            if {b"moov", b"mdat"} <= seen and b"moof" not in seen and not (len(name) == 4 and name.isalnum()):
                break  # Junk behind a whole file, as some cameras and phones leave it.
            return _broken(offset + length, size, 0) if length >= 8 and b"moov" in seen else NO_INDEX_YET
        if to_the_end and name == b"mdat" and b"moov" in seen:
            return NO_PROMISE
        seen.add(name)
        offset += length
    else:
        return NO_PROMISE
    if b"moov" not in seen:
        return NO_INDEX_YET
    if b"moof" in seen:
        return KEPT if b"mfra" in seen else NO_PROMISE
    return KEPT if b"mdat" in seen else Promise(kept=False, detail="its index is there, its audio is not")


def _flac(file: BinaryIO, start: int, size: int) -> Promise:
    info = flac.parse_stream_info(_read(file, start + 4, 38))
    if info is None:
        return HEADER_CUT_SHORT
    if info.total_samples == 0:
        return UNKNOWN_LENGTH
    tail_start = max(start + 42, size - info.largest_frame - flac.ID3V1_LENGTH)
    tail = _read(file, tail_start, size - tail_start) if tail_start < size else b""
    ending = flac.find_ending(tail, info)
    if ending.whole:
        return KEPT
    return _broken(info.total_samples, ending.samples, info.sample_rate)


def _ogg(file: BinaryIO, size: int) -> Promise:
    """RFC 3533: the last page ends the stream. Many writers never say so, which proves nothing."""
    tail_start = max(0, size - 65_307)  # the largest page
    tail = _read(file, tail_start, size - tail_start)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27:
        return NO_PROMISE
    segments = page[27 : 27 + page[26]]
    whole = len(page) == 27 + page[26] + sum(segments)
    ends_stream = page[4] == 0 and bool(page[5] & 0x04)
    return KEPT if whole and ends_stream else NO_PROMISE
