"""Names as people and programs give them: every one is transcribed, and no two end up in one transcript."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import ffmpeg, librivox_sentences, word_error_rate

LONG = ("ü" * 118) + ".wav"
assert len(LONG.encode()) == 240

NAMES = {
    "2025.01.21-call.m4a": "2025.01.21-call",
    "my  memo (final).wav": "my  memo (final)",
    "Grüße 🎙️ an Zoë.wav": "Grüße 🎙️ an Zoë",
    "two.dots..wav": "two.dots.",
    "100% #1 & 'quoted' \"so\".wav": "100% #1 & 'quoted' \"so\"",
    "-rf.wav": "-rf",
    LONG: "ü" * 118,
    "x" * 251 + ".wav": None,
    "with space/ümlaut/memo.wav": "with space/ümlaut/memo",
}


def test_every_name_is_transcribed_and_stands_whole_in_the_name_of_the_transcript(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop, output = tmp_path / "in", tmp_path / "out"
    (drop / "with space" / "ümlaut").mkdir(parents=True)
    sentence = next(iter(librivox_sentences()))
    undecodable, undecodable_folder = (drop / os.fsdecode(name) for name in (b"caf\xe9.wav", b"caf\xe9"))
    with panotti({"watch": [{"path": str(drop), "output": str(output), "formats": ["txt"]}]}) as daemon:
        shutil.copy(sentence, undecodable)
        undecodable_folder.mkdir()
        shutil.copy(sentence, undecodable_folder / "memo.wav")
        for name in NAMES:
            _speak(sentence, drop / name, marked=name)
        for name in NAMES:
            daemon.wait_for(drop / name, FileState.DONE)
        assert {entry.path for entry in daemon.ledger()} == {str(drop / name) for name in NAMES}
        assert "is not valid Unicode: rename it" in daemon.command("explain", undecodable).stderr
        daemon.restart()
        assert {entry.path for entry in daemon.ledger()} == {str(drop / name) for name in NAMES}
    written = {str(path.relative_to(output).with_suffix("")) for path in output.rglob("*.txt")}
    assert len(written) == len(NAMES)
    assert {name for name in NAMES.values() if name} <= written


def test_names_that_clash_destroy_nothing(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    drop, output = tmp_path / "in", tmp_path / "out"
    for folder in (drop / "a", drop / "b", output):
        folder.mkdir(parents=True)
    spoken = librivox_sentences()
    one, _, three, four, five = spoken
    own = output / "shopping.txt"
    own.write_text("milk, eggs")
    with panotti({"watch": [{"path": str(drop), "output": str(output), "formats": ["txt"]}]}) as daemon:

        def heard(name: str) -> str:
            return (output / name).read_text(encoding="utf-8")

        shutil.copy(one, drop / "call.wav")
        ffmpeg("-i", one, drop / "a" / "memo.m4a")
        ffmpeg("-i", four, drop / "b" / "memo.m4a")
        shutil.copy(three, drop / "shopping.wav")
        for name in ("call.wav", "a/memo.m4a", "b/memo.m4a", "shopping.wav"):
            daemon.wait_for(drop / name, FileState.DONE)
        ffmpeg("-i", four, drop / "call.mp3")
        daemon.wait_for(drop / "call.mp3", FileState.DONE)
        names = {"call.txt", "call.mp3.txt", "a/memo.txt", "b/memo.txt", "shopping.txt", "shopping (2).txt"}
        assert {str(path.relative_to(output)) for path in output.rglob("*.txt")} == names
        expected = {"call.txt": one, "call.mp3.txt": four, "a/memo.txt": one, "b/memo.txt": four}
        rates = {name: word_error_rate(spoken[path], heard(name)) for name, path in expected.items()}
        assert all(rate <= 0.25 for rate in rates.values()), rates
        assert own.read_text() == "milk, eggs"

        (output / "call.txt").write_text("what I made of it")
        first = daemon.explain(drop / "call.wav").recording_id
        shutil.copy(five, drop / "call.wav")
        wait_until(lambda: daemon.explain(drop / "call.wav").recording_id != first, "the new content is seen")
        daemon.wait_for(drop / "call.wav", FileState.DONE)
        assert heard("call.txt") == "what I made of it"
        assert word_error_rate(spoken[four], heard("call.mp3.txt")) <= 0.25
        (new,) = {str(path.relative_to(output)) for path in output.rglob("*.txt")} - names
        assert new == "call (2).txt"


def _speak(sentence: Path, target: Path, *, marked: str) -> None:
    """The same words for every name, in different bytes."""
    ffmpeg("-i", sentence, "-metadata", f"title={len(marked)} {ord(marked[0])}", f"file:{target}")
