"""Every format that people record in becomes a transcript, by what is in the file and not only by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import SAMPLE, ffmpeg, librivox_sentences, word_error_rate

SPOKEN = "Good morning. Did you read the report that I sent you yesterday?"
SECONDS = "4.6"

AUDIO = {
    "wav": ("pcm_s16le",),
    "mp3": ("libmp3lame",),
    "m4a": ("aac",),
    "aac": ("aac",),
    "ogg": ("libvorbis",),
    "opus": ("libopus",),
    "flac": ("flac",),
    "wma": ("wmav2",),
    "aiff": ("pcm_s16be",),
}
VIDEO = {
    "mp4": ("aac", "mpeg4"),
    "mov": ("aac", "mpeg4"),
    "mkv": ("libopus", "mpeg4"),
    "webm": ("libopus", "libvpx"),
}


def test_every_format_gives_its_words(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    stock, drop, output = (tmp_path / name for name in ("stock", "in", "out"))
    stock.mkdir()
    drop.mkdir()
    spoken = dict(_in_every_format(stock))
    memo, _, _, bare, _ = sentences = librivox_sentences()
    spoken |= {"memo.bin": sentences[memo], "no suffix at all": sentences[bare]}
    shutil.copy(memo, stock / "memo.bin")
    shutil.copy(bare, stock / "no suffix at all")

    with panotti({"watch": [{"path": str(drop), "output": str(output), "formats": ["txt"]}]}) as daemon:
        for name in spoken:
            shutil.copy(stock / name, drop / name)
        for name in spoken:
            daemon.wait_for(drop / name, FileState.DONE)
        heard = {name: (output / _transcript(name)).read_text(encoding="utf-8") for name in spoken}
    rates = {name: word_error_rate(spoken[name], heard[name]) for name in spoken}
    assert all(rate <= 0.25 for rate in rates.values()), rates


def _in_every_format(folder: Path) -> dict[str, str]:
    cut = ("-t", SECONDS, "-i", SAMPLE)
    moving = ("-f", "lavfi", "-t", SECONDS, "-i", "testsrc=size=160x120:rate=10")
    for suffix, (codec,) in AUDIO.items():
        ffmpeg(*cut, "-c:a", codec, folder / f"as-{suffix}.{suffix}")
    for suffix, (codec, picture) in VIDEO.items():
        ffmpeg(*cut, *moving, "-c:a", codec, "-c:v", picture, folder / f"as-{suffix}.{suffix}")
    return {f"as-{suffix}.{suffix}": SPOKEN for suffix in (*AUDIO, *VIDEO)}


def _transcript(name: str) -> str:
    return f"{Path(name).stem}.txt" if name.startswith("as-") else f"{name}.txt"
