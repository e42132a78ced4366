from __future__ import annotations

import errno
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from panotti_daemon.engine.media import audio
from panotti_daemon.engine.media.audio import BLOCK_SAMPLES, SAMPLE_RATE, decode, probe
from panotti_daemon.engine.messages import ProbeKind
from panotti_daemon.errors import MediaError, SourceUnavailable
from tests.speech import SAMPLE, SAMPLE_SECONDS, ffmpeg

VIDEO = ("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=19")

ENCODINGS = {
    "wav": ("-c:a", "pcm_s16le"),
    "mp3": ("-c:a", "libmp3lame"),
    "m4a": ("-c:a", "aac"),
    "aac": ("-c:a", "aac"),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus"),
    "flac": ("-c:a", "flac"),
    "wma": ("-c:a", "wmav2"),
    "aiff": ("-c:a", "pcm_s16be"),
    "caf": ("-c:a", "pcm_s16le"),
    "mka": ("-c:a", "libopus"),
    "mp4": (*VIDEO, "-c:v", "mpeg4", "-c:a", "aac"),
    "mov": (*VIDEO, "-c:v", "mpeg4", "-c:a", "aac", "-ar", "48000"),
    "mkv": (*VIDEO, "-c:v", "mpeg4", "-c:a", "libvorbis"),
    "webm": (*VIDEO, "-c:v", "libvpx", "-c:a", "libopus"),
    "avi": (*VIDEO, "-c:v", "mpeg4", "-c:a", "libmp3lame", "-ac", "2"),
    "ts": (*VIDEO, "-c:v", "mpeg2video", "-c:a", "aac"),
}


def decoded(path: Path) -> tuple[audio.Samples, list[str]]:
    warnings: list[str] = []
    return np.concatenate(list(decode(path, warnings.append))), warnings


def wav_that_declares(size: int, samples: bytes) -> bytes:
    header = b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    return header + b"data" + struct.pack("<I", size) + samples


def tone(seconds: float) -> bytes:
    wave = np.sin(np.arange(int(seconds * SAMPLE_RATE)) * 0.2)
    return bytes((wave * 8000).astype("<i2").tobytes())


@pytest.mark.parametrize("extension", ENCODINGS)
def test_every_common_format_is_media_and_keeps_its_length(extension: str, tmp_path: Path) -> None:
    original = tmp_path / f"sample.{extension}"
    ffmpeg("-i", SAMPLE, *ENCODINGS[extension], original)
    disguised = original.rename(tmp_path / "sample.txt")

    found = probe(disguised)

    assert (found.kind, found.audio_streams) == (ProbeKind.MEDIA, 1)
    assert found.duration == pytest.approx(SAMPLE_SECONDS, rel=0.1)  # raw AAC knows no better
    samples, warnings = decoded(disguised)
    assert len(samples) / SAMPLE_RATE == pytest.approx(SAMPLE_SECONDS, abs=0.3)
    assert warnings == []


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", ProbeKind.EMPTY, "it is empty"),
        (b"Dear diary, nothing was said today.\n" * 50, ProbeKind.NOT_MEDIA, "it is text, not a recording"),
        ("Grüße\r\n".encode("utf-16"), ProbeKind.NOT_MEDIA, "it is text, not a recording"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nHello\n", ProbeKind.NOT_MEDIA, "it is text, not a recording"),
        (b"#EXTM3U\nhttp://localhost/a.mp3\n", ProbeKind.NOT_MEDIA, "it is text, not a recording"),
        (b"#EXTM3U\n#EXTINF:3,\n/etc/hostname\n\0", ProbeKind.NOT_MEDIA, "it is not a recording"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n\0", ProbeKind.NOT_MEDIA, "it is not a recording"),
        (b"\x7fELF" + bytes(5000), ProbeKind.NOT_MEDIA, "it is not a recording"),
        (b"RIFF" + bytes(200), ProbeKind.NOT_MEDIA, "it is damaged"),
        (wav_that_declares(0, b""), ProbeKind.NO_AUDIO, "there is no audio in it"),
    ],
)
def test_what_is_no_recording_is_told_apart(content: bytes, kind: ProbeKind, message: str, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    found = probe(path)
    assert found.kind == kind
    assert found.message.startswith(message)


def test_a_picture_is_not_media(tmp_path: Path) -> None:
    picture = tmp_path / "picture.mp3"
    ffmpeg(*VIDEO, "-frames:v", "1", "-f", "image2", "-c:v", "png", "-update", "1", picture)
    assert probe(picture).kind == ProbeKind.NOT_MEDIA


def test_a_silent_film_has_no_audio(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    ffmpeg(*VIDEO, "-c:v", "mpeg4", film)
    found = probe(film)
    assert (found.kind, found.message) == (ProbeKind.NO_AUDIO, "there is no audio in it: only video")
    with pytest.raises(MediaError, match="no audio"):
        decoded(film)


def test_random_bytes_are_never_media(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp3"
    for seed in range(40):
        path.write_bytes(random.Random(seed).randbytes(50_000))
        assert probe(path).kind == ProbeKind.NOT_MEDIA


@pytest.mark.parametrize("extension", ["wav", "mp3", "m4a", "ogg", "flac", "mkv"])
def test_a_file_cut_or_damaged_anywhere_neither_crashes_nor_hangs(extension: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole.{extension}"
    ffmpeg("-i", SAMPLE, "-t", "4", *ENCODINGS[extension], whole)
    content = whole.read_bytes()
    broken = tmp_path / "broken"
    dice = random.Random(extension)
    for _ in range(15):
        damaged = bytearray(content[: dice.randrange(1, len(content))])
        for _ in range(20):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        broken.write_bytes(damaged)
        if probe(broken).kind == ProbeKind.MEDIA:
            assert len(decoded(broken)[0])


def test_a_vanished_file_a_folder_and_a_forbidden_file_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probe(tmp_path / "gone.wav").kind == ProbeKind.VANISHED
    assert probe(tmp_path).message == "it is a folder"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert probe(SAMPLE).kind == ProbeKind.UNREADABLE
    with pytest.raises(MediaError, match="not allowed"):
        decoded(SAMPLE)


def test_a_vanished_file_and_a_failing_drive_make_the_source_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SourceUnavailable):
        decoded(tmp_path / "gone.wav")

    def fail(self: object, file: object) -> None:
        def read(_: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        self.__dict__.update(read=read, seek=lambda *_: 0, tell=lambda: 0)

    monkeypatch.setattr(audio._Nameless, "__init__", fail)
    with pytest.raises(SourceUnavailable, match="Input/output error"):
        decoded(SAMPLE)


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF, 10**9])
def test_a_wav_whose_header_declares_no_true_length_is_decoded_whole(declared: int, tmp_path: Path) -> None:
    path = tmp_path / "stream.wav"
    path.write_bytes(wav_that_declares(declared, tone(3)))
    assert probe(path).duration == pytest.approx(3, abs=0.1)
    assert len(decoded(path)[0]) == 3 * SAMPLE_RATE


def test_blocks_are_of_one_size_but_the_last(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(wav_that_declares(0, tone(20)))
    sizes = [len(block) for block in decode(path, pytest.fail)]
    assert sizes == [BLOCK_SAMPLES, BLOCK_SAMPLES, 20 * SAMPLE_RATE - 2 * BLOCK_SAMPLES]


def test_a_gap_in_the_recording_becomes_silence(tmp_path: Path) -> None:
    plain, gappy = tmp_path / "plain.wav", tmp_path / "gappy.mkv"
    plain.write_bytes(wav_that_declares(0, tone(6)))
    ffmpeg("-i", plain, "-af", "asetpts=PTS+gte(T\\,2)*10/TB", "-c:a", "pcm_s16le", gappy)
    samples, _ = decoded(gappy)
    assert len(samples) / SAMPLE_RATE == pytest.approx(16, abs=0.2)
    assert not np.any(samples[int(2.5 * SAMPLE_RATE) : int(11.5 * SAMPLE_RATE)])
    assert np.any(samples[int(12.5 * SAMPLE_RATE) :])


def test_damage_in_the_middle_costs_a_warning_and_not_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp3"
    ffmpeg("-i", SAMPLE, "-c:a", "libmp3lame", path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = random.Random(1).randbytes(4000)
    path.write_bytes(content)
    samples, warnings = decoded(path)
    assert len(samples) / SAMPLE_RATE == pytest.approx(SAMPLE_SECONDS, abs=3)
    assert len(warnings) == 1
    assert "damaged" in warnings[0]


def test_of_several_audio_streams_the_first_is_decoded_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    ffmpeg("-i", SAMPLE, "-i", SAMPLE, "-map", "0:a", "-map", "1:a", "-t", "2", path)
    assert probe(path).audio_streams == 2
    assert "2 audio streams" in decoded(path)[1][0]


def test_probing_loads_neither_numpy_nor_the_speech_libraries() -> None:
    program = (
        "import sys; from pathlib import Path; from panotti_daemon.engine.media.audio import probe;"
        "import panotti_daemon.engine.worker, panotti_daemon.engine.client, panotti_daemon.engine.models.store;"
        f"assert probe(Path({str(SAMPLE)!r})).kind == 'media';"
        "print(*({'numpy', 'faster_whisper', 'ctranslate2', 'onnxruntime', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
