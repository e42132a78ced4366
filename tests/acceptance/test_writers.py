"""However a file comes into the folder, it is transcribed once, whole, and never before its writer is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import ffmpeg, librivox_clip, librivox_sentences, word_error_rate

CHUNKS = 5
PAUSE = 5.0


def test_slow_writers_are_waited_for_and_what_nobody_finishes_goes_on_after_a_minute(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    stock, drop, output = (tmp_path / name for name in ("stock", "in", "out"))
    stock.mkdir()
    drop.mkdir()
    spoken = librivox_clip(stock / "wave.wav")
    source = ("-i", stock / "wave.wav")
    ffmpeg(*source, stock / "held.mp3")
    ffmpeg(*source, stock / "flac.flac")
    ffmpeg(*source, stock / "index-last.m4a")
    ffmpeg(*source, "-movflags", "+faststart", stock / "index-first.mp4")
    closing = [stock / name for name in ("wave.wav", "flac.flac", "index-last.m4a", "index-first.mp4")]
    streamed = _streamed(stock / "wave.wav")

    with panotti({"watch": [{"path": str(drop), "output": str(output)}]}) as daemon:
        (drop / "streamed.wav").write_bytes(streamed)
        (drop / "streamed-zero.wav").write_bytes(_with_sizes_of_zero(streamed))
        (drop / "cut.wav").write_bytes(closing[0].read_bytes()[: 7 * 32_000])
        (drop / "no-index.mp4").write_bytes((stock / "index-last.m4a").read_bytes()[:-2000])
        (drop / "empty.wav").touch()
        writers = [threading.Thread(target=_write_held_open, args=(stock / "held.mp3", drop))]
        writers += [threading.Thread(target=_write_closing, args=(path, drop)) for path in closing]
        for writer in writers:
            writer.start()
        slow = [drop / "held.mp3", *(drop / path.name for path in closing)]
        while all(writer.is_alive() for writer in writers):
            listed = {path: daemon.explain(path) for path in slow if path.exists()}
            assert not [entry for entry in listed.values() if entry.recording_id]
        for path in (*slow, drop / "streamed.wav", drop / "streamed-zero.wav", drop / "cut.wav"):
            daemon.wait_for(path, FileState.DONE)

        whole = (*slow, drop / "streamed.wav", drop / "streamed-zero.wav")
        assert not [path for path in whole if daemon.explain(path).incomplete]
        assert daemon.explain(drop / "cut.wav").incomplete
        no_index = daemon.wait_for(drop / "no-index.mp4", FileState.IGNORED)
        assert "damaged" in no_index.reason
        assert daemon.wait_for(drop / "empty.wav", FileState.IGNORED).reason == "it is empty"

    rates = {path.name: word_error_rate(spoken, (output / f"{path.stem}.txt").read_text()) for path in whole}
    assert all(rate <= 0.2 for rate in rates.values()), rates
    assert spoken.split()[:3] == (output / "cut.txt").read_text().lower().replace("mr.", "mister").split()[:3]
    assert _times_ready(daemon) == {str(path): 1 for path in (*whole, drop / "cut.wav")}
    assert len(daemon.events("transcription_local.completed")) == len(whole) + 1


def test_a_file_that_is_moved_linked_renamed_or_comes_in_a_folder_is_transcribed_once(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    stock, drop = tmp_path / "stock", tmp_path / "in"
    drop.mkdir()
    moved, linked, downloaded, *together = librivox_sentences()
    (stock / "folder" / "deeper").mkdir(parents=True)
    with panotti({"watch": [{"path": str(drop)}]}) as daemon:
        shutil.copy(moved, stock / "moved.wav")
        (stock / "moved.wav").rename(drop / "moved.wav")
        shutil.copy(linked, stock / "linked.wav")
        os.link(stock / "linked.wav", drop / "linked.wav")
        shutil.copy(downloaded, drop / "downloaded.wav.part")
        for number, path in enumerate(together):
            shutil.copy(path, stock / "folder" / ("deeper" if number else "") / f"{number}.wav")
        (stock / "folder").rename(drop / "folder")
        first = [drop / name for name in ("moved.wav", "linked.wav", "folder/0.wav", "folder/deeper/1.wav")]
        for path in first:
            daemon.wait_for(path, FileState.DONE)
        assert "temporary name" in daemon.explain(drop / "downloaded.wav.part").reason
        (drop / "downloaded.wav.part").rename(drop / "downloaded.wav")
        daemon.wait_for(drop / "downloaded.wav", FileState.DONE)
        paths = [*first, drop / "downloaded.wav"]
        assert {entry.path for entry in daemon.ledger()} == set(map(str, paths))
    assert _times_ready(daemon) == {str(path): 1 for path in paths}


def _write_held_open(source: Path, folder: Path) -> None:
    with (folder / source.name).open("wb", buffering=0) as file:
        for chunk in _chunks(source):
            file.write(chunk)
            _pause()


def _write_closing(source: Path, folder: Path) -> None:
    for number, chunk in enumerate(_chunks(source)):
        if number:
            _pause()
        with (folder / source.name).open("ab") as file:
            file.write(chunk)


def _pause() -> None:
    threading.Event().wait(PAUSE)


def _chunks(source: Path) -> list[bytes]:
    content = source.read_bytes()
    length = -(-len(content) // CHUNKS)
    return [content[start : start + length] for start in range(0, len(content), length)]


def _streamed(source: Path) -> bytes:
    """As FFmpeg writes a WAV that it cannot go back in: its sizes are 0xFFFFFFFF."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(source), "-f", "wav", "-"]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def _with_sizes_of_zero(streamed: bytes) -> bytes:
    assert streamed.count(b"\xff\xff\xff\xff", 0, 200) == 2
    return streamed[:200].replace(b"\xff\xff\xff\xff", bytes(4)) + streamed[200:]


def _times_ready(daemon: Panotti) -> dict[str, int]:
    return dict(Counter(data["recording"]["path"] for data in daemon.events("recording.ready")))
