"""Real files from FFmpeg and from Python's own writers, whole, streamed and cut at every kind of place."""

from __future__ import annotations

import random
import struct
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panotti_daemon.intake.headers import HEADER_CUT_SHORT, KEPT, NO_INDEX_YET, NO_PROMISE, UNKNOWN_LENGTH, promise

# Noise, because a frame of silence hides mistakes: it is short, and its bytes are alike.
NOISE = "anoisesrc=seed=7:sample_rate=16000:amplitude=0.4:duration="


def ffmpeg(*arguments: str, seconds: float = 2, output: str | Path = "pipe:1") -> bytes:
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", f"{NOISE}{seconds}", *arguments]
    return subprocess.run([*command, "-y", str(output)], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for every example of a property: Hypothesis and a folder for each test do not go together."""
    return tmp_path_factory.mktemp("headers") / "recording"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whole files, by what they are."""
    kinds: dict[str, tuple[str, ...]] = {
        "plain.wav": (),
        "rf64.wav": ("-rf64", "always"),
        "room-for-rf64.wav": ("-rf64", "auto"),
        "tagged.wav": ("-metadata", "title=Stand-up"),
        "float.wav": ("-c:a", "pcm_f32le", "-ac", "2"),
        "plain.aiff": (),
        "float.aifc": ("-f", "aiff", "-c:a", "pcm_f32be"),
        "plain.flac": (),
        "stereo24.flac": ("-ac", "2", "-sample_fmt", "s32"),
        "moov-at-end.m4a": (),
        "faststart.mp4": ("-movflags", "+faststart"),
        "plain.mov": (),
        "fragmented.mp4": ("-movflags", "+frag_keyframe+empty_moov", "-frag_duration", "300000"),
        "plain.ogg": ("-c:a", "libvorbis"),
        "plain.opus": (),
    }
    folder = tmp_path_factory.mktemp("made")
    for name, arguments in kinds.items():
        ffmpeg(*arguments, output=folder / name)
    return {name: (folder / name).read_bytes() for name in kinds}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    path = tmp_path / "recording"

    def write(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    return write


Write = Callable[[bytes], Path]
Made = dict[str, bytes]

WHOLE = [
    "plain.wav",
    "rf64.wav",
    "room-for-rf64.wav",
    "tagged.wav",
    "float.wav",
    "plain.aiff",
    "float.aifc",
    "plain.flac",
    "stereo24.flac",
    "moov-at-end.m4a",
    "faststart.mp4",
    "plain.mov",
    "fragmented.mp4",
    "plain.ogg",
    "plain.opus",
]
OGG = ["plain.ogg", "plain.opus"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_keeps_its_promise(name: str, made: Made, write: Write) -> None:
    assert promise(write(made[name])) == KEPT


@pytest.mark.parametrize("name", WHOLE)
def test_no_cut_inside_the_audio_passes_for_a_whole_file(name: str, made: Made, write: Write) -> None:
    whole = made[name]
    audio_ends = end_of_audio(whole)
    cuts = [*range(audio_ends - 300, audio_ends), *random.Random(7).sample(range(audio_ends), 300), *range(200)]
    passed = [cut for cut in cuts if promise(write(whole[:cut])).kept]
    assert passed == []


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in OGG and name != "fragmented.mp4"])
def test_a_cut_in_the_middle_breaks_the_promise(name: str, made: Made, write: Write) -> None:
    whole = made[name]
    broken = promise(write(whole[: len(whole) // 2]))
    assert broken.kept is False
    assert broken.detail


@pytest.mark.parametrize("name", OGG)
def test_an_ogg_file_without_an_end_proves_nothing(name: str, made: Made, write: Write) -> None:
    whole = made[name]
    assert promise(write(whole[: len(whole) // 2])) == NO_PROMISE


def test_a_fragmented_file_cut_inside_a_fragment_breaks_its_promise(made: Made, write: Write) -> None:
    whole = made["fragmented.mp4"]
    inside = whole.rindex(b"mdat") + 40
    assert promise(write(whole[:inside])).kept is False


def test_a_fragmented_file_without_its_closing_index_promises_nothing_more(made: Made, write: Write) -> None:
    whole = made["fragmented.mp4"]
    assert promise(write(whole[: whole.rindex(b"mfra") - 4])) == NO_PROMISE


def test_an_mp4_whose_index_is_still_to_come_is_not_whole(made: Made, write: Write) -> None:
    whole = made["moov-at-end.m4a"]
    assert promise(write(whole[: whole.rindex(b"moov") - 4])) == NO_INDEX_YET


def test_an_index_without_audio_is_not_whole(made: Made, write: Write) -> None:
    whole = made["faststart.mp4"]
    assert promise(write(whole[: whole.index(b"mdat") - 4])).kept is False


def test_an_mp4_whose_audio_reaches_to_the_end_of_the_file_promises_nothing(made: Made, write: Write) -> None:
    whole = made["faststart.mp4"]
    mdat = whole.index(b"mdat") - 4
    assert promise(write(whole[:mdat] + bytes(4) + whole[mdat + 4 :])) == NO_PROMISE


def test_a_box_of_64_bit_length_is_measured(write: Write) -> None:
    def file(audio: bytes) -> bytes:
        boxes = struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0) + struct.pack(">I4s", 8, b"moov")
        return boxes + struct.pack(">I4sQ", 1, b"mdat", 16 + 5_000) + audio

    assert promise(write(file(bytes(5_000)))) == KEPT
    assert promise(write(file(bytes(4_999)))).kept is False


@pytest.mark.parametrize("name", ["moov-at-end.m4a", "faststart.mp4", "plain.wav", "plain.aiff"])
def test_junk_behind_a_whole_file_does_no_harm(name: str, made: Made, write: Write) -> None:
    for junk in (b"\0", b"\xff\xfe\xfd", b"\x00\x01\xe2\x40\x00\x03\x00\x00SEFT", bytes(500)):
        assert promise(write(made[name] + junk)) == KEPT


@pytest.mark.parametrize("container", ["wav", "aiff", "flac"])
def test_a_streamed_file_is_of_unknown_length(container: str, write: Write) -> None:
    assert promise(write(ffmpeg("-f", container))) == UNKNOWN_LENGTH


def test_a_streamed_rf64_is_of_unknown_length(write: Write) -> None:
    assert promise(write(ffmpeg("-f", "wav", "-rf64", "always"))) == UNKNOWN_LENGTH


def wav(*chunks: tuple[bytes, int, bytes], riff_length: int = 0, byte_order: str = "<") -> bytes:
    body = b"".join(
        name + struct.pack("<I", length) + content + b"\0" * (len(content) % 2) for name, length, content in chunks
    )
    return b"RIFF" + struct.pack("<I", riff_length) + b"WAVE" + body


FORMAT = (b"fmt ", 16, struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16))


@pytest.mark.parametrize("placeholder", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF - 36])
def test_a_placeholder_for_the_length_is_known_as_one(placeholder: int, write: Write) -> None:
    assert promise(write(wav(FORMAT, (b"data", placeholder, bytes(100))))) == UNKNOWN_LENGTH


def test_the_data_chunk_is_believed_rather_than_the_length_of_the_whole(write: Write) -> None:
    assert promise(write(wav(FORMAT, (b"data", 100, bytes(100)), riff_length=9_999))) == KEPT
    assert promise(write(wav(FORMAT, (b"data", 100, bytes(50)), riff_length=78))).kept is False
    assert promise(write(wav(FORMAT, (b"data", 40, bytes(100)), riff_length=136))) == KEPT


def test_chunks_of_odd_length_are_padded(write: Write) -> None:
    note = (b"LIST", 7, b"INFOabc")
    assert promise(write(wav(FORMAT, note, (b"data", 100, bytes(100))))) == KEPT
    assert promise(write(wav(FORMAT, note, (b"data", 100, bytes(98))))).kept is False


def test_what_is_missing_is_told_in_seconds(write: Write) -> None:
    broken = promise(write(wav(FORMAT, (b"data", 320_000, bytes(32_000)))))
    assert broken.detail == "its header promises 20.0 s, 2.0 s are there"


def test_what_is_missing_of_a_flac_file_is_told_in_seconds(made: Made, write: Write) -> None:
    whole = made["plain.flac"]
    detail = promise(write(whole[: len(whole) * 3 // 4])).detail
    assert detail.startswith("its header promises 2.0 s, 1.")


def test_what_python_writes_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(8_000)
        writer.writeframes(bytes(8_001))
    assert promise(path) == KEPT


def test_tags_around_a_flac_stream_are_passed_over(made: Made, write: Write) -> None:
    id3v2 = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 5]) + bytes(133)
    id3v1 = b"TAG" + bytes(125)
    whole = made["plain.flac"]
    assert promise(write(id3v2 + whole + id3v1)) == KEPT
    assert promise(write(id3v2 + whole[:-1] + id3v1)).kept is False


def test_a_flipped_bit_in_the_last_flac_frame_is_noticed(made: Made, write: Write) -> None:
    damaged = bytearray(made["plain.flac"])
    damaged[-30] ^= 0x10
    assert promise(write(bytes(damaged))).kept is False


def test_a_flac_file_of_a_single_short_frame_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "short.flac"
    ffmpeg(seconds=0.01, output=path)
    assert promise(path) == KEPT


def test_a_long_flac_file_with_wide_frame_numbers_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    ffmpeg("-frame_size", "256", seconds=60, output=path)
    assert promise(path) == KEPT


@pytest.mark.parametrize("start", [b"RIFF", b"RF64\0\0", b"FORM", b"RIFF\0\0\0\0WAVEfm", b"fLaC\0\0\0\x22", b"fLaC"])
def test_a_header_that_is_cut_short_is_not_whole(start: bytes, write: Write) -> None:
    assert promise(write(start)) == HEADER_CUT_SHORT


@pytest.mark.parametrize("content", [b"", b"R", b"ID3", b"Hello, world", b"\xff\xfb\x90\x00" * 50, b"RIFF\0\0\0\0AVI "])
def test_what_is_not_known_promises_nothing(content: bytes, write: Write) -> None:
    assert promise(write(content)) == NO_PROMISE


def test_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        promise(tmp_path / "nothing.wav")


MAGICS = [b"RIFF\0\0\0\0WAVE", b"RF64\xff\xff\xff\xffWAVEds64", b"FORM\0\0\0\0AIFF", b"fLaC", b"OggS", b"ID3", b""]
MAGICS += [b"\0\0\0\x10ftypM4A \0\0\0\0", b"\0\0\0\x08moov\0\0\0\x01mdat"]


@settings(deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=400))
def test_no_content_raises(scratch: Path, magic: bytes, content: bytes) -> None:
    scratch.write_bytes(magic + content)
    promise(scratch)


@settings(deadline=None)
@given(st.data())
def test_no_damage_raises(scratch: Path, made: Made, data: st.DataObject) -> None:
    content = bytearray(made[data.draw(st.sampled_from(WHOLE))])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, min(len(content), 300) - 1))] = data.draw(st.integers(0, 255))
    scratch.write_bytes(content)
    promise(scratch)


def end_of_audio(whole: bytes) -> int:
    if whole[:4] in (b"RIFF", b"RF64"):
        length = int.from_bytes(whole[whole.index(b"data") + 4 :][:4], "little")
        return len(whole) if length == 0xFFFFFFFF else whole.index(b"data") + 8 + length
    if whole[:4] == b"FORM":
        return whole.index(b"SSND") + 8 + int.from_bytes(whole[whole.index(b"SSND") + 4 :][:4], "big")
    if whole[4:8] == b"ftyp":
        mdat = whole.rindex(b"mdat")
        return mdat - 4 + int.from_bytes(whole[mdat - 4 : mdat], "big")
    return len(whole)
