"""Beeps at known seconds of files that are odd in every way: they come out where the recording's own clock has them."""

from __future__ import annotations

import random
import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from panotti_daemon.engine.media.audio import Samples, decode, probe
from panotti_daemon.engine.messages import ProbeKind
from panotti_daemon.errors import MediaError
from tests.speech import ffmpeg

SECONDS = 12
BEEPS = (2.0, 5.0, 9.0)
TOLERANCE = 0.25

PICTURE = ("-f", "lavfi", "-i", f"testsrc=size=64x64:rate=5:duration={SECONDS}")


@pytest.fixture(scope="module")
def beeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_beeps(tmp_path_factory.mktemp("beeps") / "beeps.wav", BEEPS, SECONDS, rate=48_000)


def write_beeps(path: Path, starts: tuple[float, ...], seconds: float, rate: int) -> Path:
    """A third of a second each, in the hiss of a microphone."""
    times = np.arange(round(seconds * rate)) / rate
    samples = np.random.default_rng(1).normal(0, 0.001, len(times))
    for start in starts:
        samples += 0.5 * np.sin(2 * np.pi * 800 * times) * ((times >= start) & (times < start + 0.33))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def heard(path: Path, *, stream: int | None = None, channel: int | None = None) -> tuple[list[float], list[str]]:
    """When the beeps begin, and what was warned of."""
    warnings: list[str] = []
    samples = np.concatenate(list(decode(path, warnings.append, stream=stream, channel=channel)))
    return onsets(samples), warnings


def onsets(samples: Samples) -> list[float]:
    steps = np.pad(samples, (0, -len(samples) % 160)).reshape(-1, 160)
    loud = np.flatnonzero(np.sqrt(np.mean(steps**2, axis=1)) > 0.03) / 100
    return [float(time) for time in loud[np.diff(loud, prepend=-1) > 0.5]]


def at(*expected: float) -> object:
    return pytest.approx(list(expected), abs=TOLERANCE)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 96_000, 192_000])
def test_every_sample_rate_keeps_the_clock(rate: int, beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "rate.wav"
    ffmpeg("-i", beeps, "-ar", str(rate), path)
    assert heard(path) == (at(*BEEPS), [])


@pytest.mark.parametrize("channels", range(1, 9))
def test_up_to_eight_channels_are_mixed_or_taken_one_by_one(channels: int, beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "channels.flac"
    gains = "|".join(f"c{number}={1 if number == channels - 1 else 0}*c0" for number in range(channels))
    ffmpeg("-i", beeps, "-af", f"pan={channels}c|{gains}", path)
    assert probe(path).channels == (channels,)
    assert heard(path, channel=channels - 1) == (at(*BEEPS), [])
    if channels > 1:
        assert heard(path, channel=0)[0] == []
    with pytest.raises(MediaError, match=f"no channel {channels + 1}"):
        heard(path, channel=channels)


ENCODINGS = {
    "mu-law": ("wav", "-c:a", "pcm_mulaw", "-ar", "8000"),
    "A-law": ("wav", "-c:a", "pcm_alaw", "-ar", "8000"),
    "mu-law of Sun": ("au", "-c:a", "pcm_mulaw", "-ar", "8000"),
    "ADPCM of Microsoft": ("wav", "-c:a", "adpcm_ms"),
    "ADPCM of IMA": ("wav", "-c:a", "adpcm_ima_wav"),
    "ADPCM of QuickTime": ("mov", "-c:a", "adpcm_ima_qt"),
    "G.722": ("wav", "-c:a", "g722", "-ar", "16000"),
    "G.726": ("wav", "-c:a", "g726", "-ar", "8000"),
    "8 bit": ("wav", "-c:a", "pcm_u8"),
    "24 bit": ("wav", "-c:a", "pcm_s24le"),
    "64 bit float": ("wav", "-c:a", "pcm_f64le"),
    "MP3 without a table of contents": ("mp3", "-write_xing", "0", "-q:a", "6"),
    "a video of varying frame rate": ("mp4", *PICTURE, "-vf", "select=lt(mod(n\\,9)\\,4)", "-vsync", "vfr"),
    "a picture that begins later": ("mkv", "-itsoffset", "4", *PICTURE),
    "a clock that begins at 100 s": ("mkv", "-output_ts_offset", "100"),
    "a transport stream that begins at 100 s": ("ts", "-c:a", "aac", "-output_ts_offset", "100"),
    "a transport stream whose clock wraps": ("ts", "-c:a", "aac", "-output_ts_offset", str(2**33 / 90_000 - 4)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_keeps_the_clock(encoding: str, beeps: Path, tmp_path: Path) -> None:
    extension, *options = ENCODINGS[encoding]
    path = tmp_path / f"odd.{extension}"
    ffmpeg("-i", beeps, *options, path)
    assert heard(path) == (at(*BEEPS), [])


def test_a_voice_memo_of_an_old_phone_keeps_the_clock(beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "memo.amr"
    with av.open(str(beeps)) as source, av.open(str(path), "w") as target:
        encoded = target.add_stream("libopencore_amrnb", rate=8000, layout="mono")
        encoded.bit_rate = 12_200
        for frame in source.decode(audio=0):
            target.mux(encoded.encode(frame))
        target.mux(encoded.encode(None))
    assert heard(path) == (at(*BEEPS), [])


@pytest.mark.parametrize("extension", ["mkv", "mp4", "ts"])
def test_sound_that_begins_later_than_the_picture_begins_with_silence(
    extension: str, beeps: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"film.{extension}"
    ffmpeg(*PICTURE, "-itsoffset", "4", "-i", beeps, "-map", "0:v", "-map", "1:a", "-c:a", "aac", path)
    assert heard(path) == (at(*(beep + 4 for beep in BEEPS)), [])


@pytest.mark.parametrize("extension", ["m4a", "mov"])
def test_a_clip_that_was_cut_without_encoding_has_a_clock_of_its_own(
    extension: str, beeps: Path, tmp_path: Path
) -> None:
    whole, clip = tmp_path / f"whole.{extension}", tmp_path / f"clip.{extension}"
    ffmpeg("-i", beeps, "-c:a", "aac", whole)
    ffmpeg("-ss", "4", "-i", whole, "-c", "copy", clip)
    assert heard(clip) == (at(1.0, 5.0), [])


@pytest.mark.parametrize("offset", [0, 5000])
def test_where_timestamps_jump_in_a_transport_stream_the_clock_goes_on(
    offset: int, beeps: Path, tmp_path: Path
) -> None:
    first, second, joined = tmp_path / "first.ts", tmp_path / "second.ts", tmp_path / "joined.ts"
    ffmpeg("-t", "6", "-i", beeps, "-c:a", "aac", first)
    ffmpeg("-ss", "6", "-i", beeps, "-c:a", "aac", "-output_ts_offset", str(offset), second)
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert heard(joined)[0] == at(*BEEPS)


@pytest.mark.parametrize("extension", ["mp3", "aac", "oga"])
def test_rate_and_channels_that_change_midway_change_no_times(extension: str, beeps: Path, tmp_path: Path) -> None:
    first, second = tmp_path / f"first.{extension}", tmp_path / f"second.{extension}"
    ffmpeg("-t", "6", "-i", beeps, first)
    ffmpeg("-ss", "6", "-i", beeps, "-ar", "22050", "-ac", "2", second)
    joined = tmp_path / f"joined.{extension}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert heard(joined)[0] == at(*BEEPS)


def test_a_channel_that_ends_midway_goes_on_with_those_that_are_left(beeps: Path, tmp_path: Path) -> None:
    stereo, mono, joined = tmp_path / "stereo.aac", tmp_path / "mono.aac", tmp_path / "joined.aac"
    ffmpeg("-t", "6", "-i", beeps, "-af", "pan=stereo|c0=0*c0|c1=c0", stereo)
    ffmpeg("-ss", "6", "-i", beeps, mono)
    joined.write_bytes(stereo.read_bytes() + mono.read_bytes())
    assert heard(joined, channel=1)[0] == at(*BEEPS)
    assert heard(joined, channel=0)[0] == at(9.0)


def test_what_ffmpeg_cannot_read_on_from_is_said(beeps: Path, tmp_path: Path) -> None:
    mono, stereo, chained = tmp_path / "mono.opus", tmp_path / "stereo.opus", tmp_path / "chained.opus"
    ffmpeg("-t", "6", "-i", beeps, "-c:a", "libopus", mono)
    ffmpeg("-ss", "6", "-i", beeps, "-c:a", "libopus", "-ac", "2", stereo)
    chained.write_bytes(mono.read_bytes() + stereo.read_bytes())
    begins, warnings = heard(chained)
    assert begins == at(2.0, 5.0)
    assert warnings[0] == "FFmpeg cannot read what comes after 0:06 in the file"


@pytest.mark.parametrize("speed", [0.9992, 1.0008])
def test_a_sound_card_whose_clock_is_wrong_follows_that_of_the_recording(speed: float, tmp_path: Path) -> None:
    plain, drifting = tmp_path / "plain.wav", tmp_path / "drifting.mka"
    write_beeps(plain, (5.0, 300.0, 595.0), 600, rate=8000)
    ffmpeg("-i", plain, "-af", f"asetpts=PTS*{speed}", "-c:a", "pcm_s16le", drifting)
    assert heard(drifting) == (at(5.0 * speed, 300.0 * speed, 595.0 * speed), [])


@pytest.mark.parametrize("factor", [0.1, 10])
def test_a_wrong_number_of_frames_in_an_mp3_changes_no_times(factor: float, beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "lies.mp3"
    ffmpeg("-i", beeps, "-q:a", "6", path)
    content = bytearray(path.read_bytes())
    place = content.index(b"Xing") + 8
    (frames,) = struct.unpack_from(">I", content, place)
    struct.pack_into(">I", content, place, round(frames * factor))
    path.write_bytes(content)
    assert heard(path)[0] == at(*BEEPS)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "opus", "mkv", "ts"])
def test_of_a_file_that_was_cut_short_the_rest_is_where_it_was(extension: str, beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{extension}"
    ffmpeg("-i", beeps, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert heard(path)[0] == at(2.0, 5.0)


def test_an_mp4_without_its_index_is_damaged(beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "crashed.mp4"
    ffmpeg("-i", beeps, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = probe(path)
    assert (found.kind, found.channels) == (ProbeKind.NOT_MEDIA, ())
    assert found.message.startswith("it is damaged")
    with pytest.raises(MediaError, match="cannot be decoded"):
        heard(path)


def test_of_many_streams_each_is_found_by_its_number_and_all_have_one_clock(beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    inputs = [option for number in range(6) for option in ("-itsoffset", str(number / 2), "-i", str(beeps))]
    maps = [option for number in range(6) for option in ("-map", f"{number}:a")]
    ffmpeg(*inputs, *maps, "-c:a", "pcm_s16le", "-ac:a:3", "2", path)
    assert probe(path).channels == (1, 1, 1, 2, 1, 1)
    for number in range(6):
        assert heard(path, stream=number) == (at(*(beep + number / 2 for beep in BEEPS)), [])
    assert heard(path, stream=3, channel=1)[0] == at(*(beep + 1.5 for beep in BEEPS))
    with pytest.raises(MediaError, match="no audio stream 7"):
        heard(path, stream=6)


@pytest.mark.parametrize("channels", [3, 6, 8, 9, 16, 32])
def test_of_channels_that_no_layout_names_each_is_in_the_mix(channels: int, tmp_path: Path) -> None:
    beeps = tuple(1.0 + number for number in range(channels))
    path = write_beeps_in_turn(tmp_path / "interface.wav", beeps)
    assert heard(path) == (at(*beeps), [])


def write_beeps_in_turn(path: Path, starts: tuple[float, ...]) -> Path:
    """One on each channel, as recorders with many inputs write them."""
    times = np.arange(round((len(starts) + 1) * 8000)) / 8000
    tone = 0.5 * np.sin(2 * np.pi * 800 * times)
    samples = np.stack([tone * ((times >= start) & (times < start + 0.33)) for start in starts], axis=1)
    with wave.open(str(path), "wb") as file:
        file.setparams((len(starts), 2, 8000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_what_is_no_number_or_too_large_for_a_sound_is_silence(beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "float.wav"
    ffmpeg("-i", beeps, "-ar", "16000", "-c:a", "pcm_f32le", path)
    content = bytearray(path.read_bytes())
    samples = content.index(b"data") + 8
    for second, value in ((3, np.nan), (4, np.inf), (6, -np.inf), (7, 3e38), (8, -1e20)):
        struct.pack_into("<f", content, samples + 4 * second * 16_000, value)
    path.write_bytes(content)
    assert heard(path) == (at(*BEEPS), [])
    assert np.abs(np.concatenate(list(decode(path, print)))).max() < 1


def test_an_audio_stream_that_ffmpeg_has_no_decoder_for_leaves_the_others_alone(beeps: Path, tmp_path: Path) -> None:
    path = write_with_unknown_codec(tmp_path / "phone.mkv", "-i", beeps, "-i", beeps, "-map", "0", "-map", "1")
    assert (probe(path).kind, probe(path).channels) == (ProbeKind.MEDIA, (0, 1))
    assert heard(path) == heard(path, stream=1) == (at(*BEEPS), [])
    with pytest.raises(MediaError, match="cannot decode audio stream 1"):
        heard(path, stream=0)


def test_a_file_without_a_stream_that_ffmpeg_has_a_decoder_for_says_so(beeps: Path, tmp_path: Path) -> None:
    path = write_with_unknown_codec(tmp_path / "unknown.mkv", "-i", beeps)
    assert probe(path).kind is ProbeKind.NOT_MEDIA
    assert probe(path).message == "its audio is in a codec that FFmpeg does not know"
    with pytest.raises(MediaError, match="codec that FFmpeg does not know"):
        heard(path)


def write_with_unknown_codec(path: Path, *options: str | Path) -> Path:
    """Of its first audio stream."""
    ffmpeg(*options, "-c:a:0", "libvorbis", path)
    path.write_bytes(path.read_bytes().replace(b"A_VORBIS", b"A_OTHER1", 1))
    return path


def test_damage_in_the_middle_moves_nothing_behind_it(beeps: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.ts"
    ffmpeg("-i", beeps, "-c:a", "aac", path)
    content = bytearray(path.read_bytes())
    start, end = (len(content) * second // SECONDS for second in (6, 8))
    content[start:end] = random.Random(2).randbytes(end - start)
    path.write_bytes(content)
    assert heard(path)[0] == at(*BEEPS)
