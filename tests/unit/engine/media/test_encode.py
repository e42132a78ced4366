from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from panotti_daemon.engine.media import encode as module
from panotti_daemon.engine.media.encode import encode
from panotti_daemon.engine.messages import Codec
from panotti_daemon.errors import MediaError, SourceUnavailable
from tests.speech import SAMPLE, ffmpeg


def made(path: Path, *arguments: str) -> Path:
    """Of the sample, by the ffmpeg of the system: another encoder than ours."""
    ffmpeg("-i", str(SAMPLE), *arguments, str(path))
    return path


def pcm(path: Path) -> bytes:
    with av.open(path) as container:
        resampler = av.AudioResampler(format="s32")
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        return b"".join(piece.to_ndarray().tobytes() for piece in (*frames, *resampler.resample(None)))


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c:a", "pcm_s16le"),
        ("-c:a", "pcm_u8"),
        ("-c:a", "pcm_s24le"),
        ("-c:a", "pcm_s16le", "-ac", "2", "-ar", "44100"),
        ("-c:a", "pcm_s16le", "-ac", "6"),
    ],
    ids=" ".join,
)
def test_flac_holds_the_same_samples(arguments: tuple[str, ...], tmp_path: Path) -> None:
    source = made(tmp_path / "source.wav", *arguments)
    target = tmp_path / "target.flac"
    encode(source, target, "flac")
    assert pcm(target) == pcm(source)
    assert target.stat().st_size < source.stat().st_size
    with av.open(source) as one, av.open(target) as other:
        assert one.streams.audio[0].rate == other.streams.audio[0].rate
        assert one.streams.audio[0].channels == other.streams.audio[0].channels


def test_opus_lasts_as_long_and_is_much_smaller(tmp_path: Path) -> None:
    source = made(tmp_path / "source.wav", "-ar", "44100", "-ac", "2")
    encode(source, tmp_path / "target.opus", "opus")
    assert (tmp_path / "target.opus").stat().st_size < source.stat().st_size / 5


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("source.mp3", (), "with a loss"),
        ("source.wav", ("-c:a", "pcm_f32le"), "no whole numbers"),
        ("source.mkv", ("-f", "lavfi", "-i", "color=size=32x32:duration=1", "-c:a", "pcm_s16le"), "pictures"),
    ],
)
def test_flac_is_refused_where_it_would_lose_or_only_grow(
    name: str, arguments: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    source = made(tmp_path / name, *arguments)
    with pytest.raises(MediaError, match=reason):
        encode(source, tmp_path / "target.flac", "flac")
    assert not (tmp_path / "target.flac").exists()


def test_whole_numbers_that_are_too_wide_for_flac_are_found_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-(2**31), 2**31, 48_000, dtype=np.int32)
    (tmp_path / "noise.raw").write_bytes(noise.tobytes())
    raw = ("-f", "s32le", "-ar", "16000", "-ac", "1", "-i", str(tmp_path / "noise.raw"))
    ffmpeg(*raw, "-c:a", "pcm_s32le", str(tmp_path / "source.wav"))
    with pytest.raises(MediaError, match="does not hold the same samples"):
        encode(tmp_path / "source.wav", tmp_path / "target.flac", "flac")
    assert not (tmp_path / "target.flac").exists()


def test_an_opus_that_is_too_short_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = made(tmp_path / "source.wav")
    monkeypatch.setattr(module, "LENGTH_TOLERANCE_SECONDS", -1.0)
    with pytest.raises(MediaError, match="lasts"):
        encode(source, tmp_path / "target.opus", "opus")
    assert not (tmp_path / "target.opus").exists()


@pytest.mark.parametrize(("name", "codec"), [("source.mka", "flac"), ("source.webm", "opus")])
def test_gaps_that_the_transcript_counts_are_not_closed(name: str, codec: Codec, tmp_path: Path) -> None:
    paused = ("-af", "asetpts=PTS+gte(T\\,9)*5/TB", "-c:a", "pcm_s16le" if codec == "flac" else "libopus")
    source = made(tmp_path / name, *paused)
    with pytest.raises(MediaError, match="gaps"):
        encode(source, tmp_path / f"target.{codec}", codec)
    assert list(tmp_path.iterdir()) == [source]


def test_damage_is_no_reason_to_guess(tmp_path: Path) -> None:
    source = made(tmp_path / "source.flac")
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 5000] = os.urandom(5000)
    source.write_bytes(content)
    with pytest.raises(MediaError):
        encode(source, tmp_path / "target.flac", "flac")
    assert list(tmp_path.iterdir()) == [source]


def test_what_stands_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "target.flac").write_text("mine")
    with pytest.raises(FileExistsError):
        encode(SAMPLE, tmp_path / "target.flac", "flac")
    assert (tmp_path / "target.flac").read_text() == "mine"


def test_a_source_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        encode(tmp_path / "gone.wav", tmp_path / "target.flac", "flac")
