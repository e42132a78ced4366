"""Whether a FLAC file ends where its header says: the last frame is found, numbered and checked (RFC 9639)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MARKER = b"fLaC"
ID3V1_LENGTH = 128
LARGEST_FRAME = 1 << 22
"""Bytes of the tail that are searched at most, whatever a broken header says."""


@dataclass(frozen=True)
class StreamInfo:
    """Section 8.2, as far as the end of the stream depends on it."""

    block_size: int
    """Samples in each frame of a stream of fixed blocks; the most of any frame of another."""
    largest_frame: int
    """In bytes; where the encoder did not say it, what a frame cannot exceed."""
    sample_rate: int
    total_samples: int
    """0: unknown."""


@dataclass(frozen=True)
class Ending:
    whole: bool
    """The last frame reaches the promised number of samples, and its checksum holds."""
    samples: int
    """Samples before the last frame that was found, about."""


def start(head: bytes) -> int:
    """Where the stream starts: behind an ID3v2 tag, which some taggers put there. `head` is at least 10 bytes."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    has_footer = bool(head[5] & 0x10)
    return 10 + length + 10 * has_footer


def parse_stream_info(block: bytes) -> StreamInfo | None:
    """`block` is the first metadata block with its header, 38 bytes. None: it is cut short."""
    if len(block) < 38:
        return None
    fields = int.from_bytes(block[14:22], "big")
    total_samples = fields & (1 << 36) - 1
    bits_per_sample = (fields >> 36 & 0x1F) + 1
    channels = (fields >> 41 & 0x07) + 1
    block_size = int.from_bytes(block[6:8], "big")
    largest_frame = int.from_bytes(block[11:14], "big")
    # A subframe that does not compress is stored verbatim; one of the side channel has a bit more for each sample.
    verbatim = block_size * channels * (bits_per_sample + 1) // 8 + 256
    return StreamInfo(block_size, min(largest_frame or verbatim, LARGEST_FRAME), fields >> 44, total_samples)


def find_ending(tail: bytes, info: StreamInfo) -> Ending:
    """`tail` is the end of the file, long enough to hold the largest frame and an ID3v1 tag."""
    if tail[-ID3V1_LENGTH:-125] == b"TAG":
        tail = tail[:-ID3V1_LENGTH]
    last_seen = 0
    for position in _sync_codes_from_the_end(tail):
        frame = _parse_frame_header(tail[position : position + 16], info)
        if frame is None:
            continue
        first, length = frame
        if first + length == info.total_samples:
            return Ending(whole=_crc16(tail[position:]) == 0, samples=first)
        if first < info.total_samples:
            last_seen = last_seen or first
    return Ending(whole=False, samples=last_seen)


def _sync_codes_from_the_end(data: bytes) -> Iterator[int]:
    position = len(data)
    while (position := data.rfind(b"\xff", 0, position)) >= 0:
        if data[position + 1 : position + 2] in (b"\xf8", b"\xf9"):
            yield position


def _parse_frame_header(header: bytes, info: StreamInfo) -> tuple[int, int] | None:
    """First sample and number of samples of the frame (section 9.1), or None if this is no frame header."""
    if len(header) < 6:
        return None
    variable_blocks = header[1] & 1
    size_code, rate_code = header[2] >> 4, header[2] & 0x0F
    if size_code == 0 or rate_code == 0x0F or header[3] >> 4 > 10 or header[3] & 1:
        return None
    number_length = min(max(1, 8 - (header[4] ^ 0xFF).bit_length()), 7)
    size_length = {6: 1, 7: 2}.get(size_code, 0)
    rate_length = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    size_at = 4 + number_length
    end = size_at + size_length + rate_length
    if len(header) <= end or _crc8(header[: end + 1]) != 0:
        return None
    number = _coded_number(header[4:size_at])
    if number is None:
        return None
    if size_length:
        length = int.from_bytes(header[size_at : size_at + size_length], "big") + 1
    elif size_code == 1:
        length = 192
    else:
        length = 144 << size_code if size_code < 6 else 1 << size_code
    return (number if variable_blocks else number * info.block_size), length


def _coded_number(data: bytes) -> int | None:
    """UTF-8's way of writing a number, stretched to 36 bits."""
    if len(data) == 1:
        return data[0] if data[0] < 0x80 else None
    number = data[0] & (0x7F >> len(data))
    for byte in data[1:]:
        if byte >> 6 != 0b10:
            return None
        number = number << 6 | byte & 0x3F
    return number


def _crc_table(polynomial: int, bits: int) -> list[int]:
    top = 1 << bits - 1
    table = []
    for byte in range(256):
        remainder = byte << bits - 8
        for _ in range(8):
            remainder = remainder << 1 ^ (polynomial if remainder & top else 0)
        table.append(remainder & (1 << bits) - 1)
    return table


_CRC8_TABLE = _crc_table(0x07, 8)
_CRC16_TABLE = _crc_table(0x8005, 16)


def _crc8(data: bytes) -> int:
    """0 for data that ends with its own checksum."""
    remainder = 0
    for byte in data:
        remainder = _CRC8_TABLE[remainder ^ byte]
    return remainder


def _crc16(data: bytes) -> int:
    """0 for data that ends with its own checksum."""
    remainder = 0
    for byte in data:
        remainder = remainder << 8 & 0xFF00 ^ _CRC16_TABLE[remainder >> 8 ^ byte]
    return remainder
