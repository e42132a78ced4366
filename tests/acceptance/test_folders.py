"""Watched folders go and come back, hold their own outputs, and are watched as their settings say."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_sentences
from tests.watching import memo, watch


def test_a_folder_that_went_is_shown_as_missing_and_watched_again_once_it_is_back(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    deleted, replaced, away, late = folders = [tmp_path / name for name in ("deleted", "replaced", "away", "late")]
    for folder in (deleted, replaced, away):
        folder.mkdir()
    earlier, *sentences = librivox_sentences()
    with panotti({"watch": [{"path": str(folder)} for folder in folders]}) as daemon:
        wait_until(lambda: _states(daemon, folders) == ["watching"] * 3 + ["missing"], "the late folder is missing")
        shutil.rmtree(replaced)  # before any other, so that most file systems give the new one its inode
        replaced.mkdir()
        shutil.copy(earlier, away / "earlier.wav")
        daemon.wait_for(away / "earlier.wav", FileState.DONE)

        shutil.rmtree(deleted)
        away.rename(tmp_path / "elsewhere")
        wait_until(lambda: _states(daemon, folders) == ["missing", "watching", "missing", "missing"])
        status = daemon.status()
        for missing in (folder for folder in status.folders if folder.state == "missing"):
            assert missing.reason == "the folder is not there; it is watched as soon as it is"
            assert f"{missing.path}: {missing.reason}" in status.problems

        deleted.mkdir()
        (tmp_path / "elsewhere").rename(away)
        late.mkdir()
        wait_until(lambda: _states(daemon, folders) == ["watching"] * 4, "all are back")
        assert daemon.status().problems == []
        for folder, sentence in zip(folders, sentences, strict=True):
            shutil.copy(sentence, folder / "new.wav")
        for folder in folders:
            daemon.wait_for(folder / "new.wav", FileState.DONE)
        assert daemon.explain(away / "earlier.wav").present
    ready = Counter(data["recording"]["path"] for data in daemon.events("recording.ready"))
    assert ready == {str(path): 1 for path in (away / "earlier.wav", *(folder / "new.wav" for folder in folders))}


@pytest.mark.skipif(sys.platform != "linux", reason="inotify's queue")
def test_a_default_folder_that_is_a_link_to_a_drive_which_is_away_is_missing_and_no_reason_to_end(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    daemon, drive = panotti(), tmp_path / "drive"
    daemon.recordings.symlink_to(drive)
    with daemon:
        assert [folder.state for folder in daemon.status().folders] == ["missing"]
        drive.mkdir()
        wait_until(lambda: daemon.status().folders[0].state == "watching", "it is watched once it is back")


def test_a_file_whose_event_is_lost_in_a_flood_of_others_is_found_all_the_same(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    folders = deep, flat = [tmp_path / "deep", tmp_path / "flat"]
    for folder in folders:
        folder.mkdir()
    sentences = librivox_sentences()
    with panotti({"watch": [{"path": str(deep)}, {"path": str(flat), "recursive": False}]}) as daemon:
        wait_until(lambda: _states(daemon, folders) == ["watching"] * 2)
        process = psutil.Process(daemon.process.pid if daemon.process else 0)
        process.suspend()
        for number in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())):
            (deep / f".{number}").touch()
        for folder, sentence in zip(folders, sentences, strict=False):
            shutil.copy(sentence, folder / "lost.wav")
        process.resume()
        for folder in folders:
            daemon.wait_for(folder / "lost.wav", FileState.DONE)
        assert "overflow" in daemon.output.read_text()


def test_transcripts_inside_a_watched_folder_are_not_taken_for_recordings(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    below, beside = tmp_path / "below", tmp_path / "beside"
    (beside / "deeper").mkdir(parents=True)
    below.mkdir()
    watch = [{"path": str(below), "output": str(below / "Transcripts")}, {"path": str(beside), "output": "beside"}]
    one, two, three, *_ = librivox_sentences()
    recordings = {below / "one.wav": one, beside / "two.wav": two, beside / "deeper" / "three.wav": three}
    outputs = [below / "Transcripts" / "one", beside / "two", beside / "deeper" / "three"]
    with panotti({"watch": watch, "rescan_seconds": 5}) as daemon:
        for path, sentence in recordings.items():
            shutil.copy(sentence, path)
        for path in recordings:
            daemon.wait_for(path, FileState.DONE)
        shutil.copy(one, below / "after.wav")
        daemon.wait_for(below / "after.wav", FileState.DUPLICATE)
        assert {entry.path for entry in daemon.ledger()} == {str(path) for path in (*recordings, below / "after.wav")}
        assert daemon.explain(beside / "two.json").reason == "it is the transcript of two, written by Panotti"
        daemon.restart()
        (beside / "late.txt").write_text("my own")
        daemon.wait_for(beside / "late.txt", FileState.IGNORED)
        listed = {str(path) for path in (*recordings, below / "after.wav", beside / "late.txt")}
        assert {entry.path for entry in daemon.ledger()} == listed
    written = {path.with_name(f"{path.name}.{suffix}") for path in outputs for suffix in ("txt", "srt", "json")}
    dropped = {*recordings, below / "after.wav", beside / "late.txt"}
    assert {path for folder in (below, beside) for path in folder.rglob("*") if path.is_file()} == written | dropped
    assert len(daemon.events("transcription_local.completed")) == len(recordings)


def test_a_folder_is_watched_as_its_settings_say(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    flat, polled, patient, prompt = folders = [tmp_path / name for name in ("flat", "polled", "patient", "prompt")]
    for folder in folders:
        (folder / "below").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    watch = [
        {"path": str(flat), "recursive": False},
        {"path": str(polled), "polling": 1},
        {"path": str(patient), "settle_seconds": 3600},
        {"path": str(prompt), "settle_seconds": 0},
        {"path": str(link)},
    ]
    one, two, three, four, five = librivox_sentences()
    with panotti({"watch": watch}) as daemon:
        states = ["watching", "polling", "watching", "watching", "watching"]
        wait_until(lambda: _states(daemon, [*folders, link]) == states)
        assert {flat, patient, prompt} <= _with_inotify(daemon, folders) <= {flat, patient, prompt}
        shutil.copy(one, patient / "one.wav")
        shutil.copy(one, flat / "below" / "one.wav")
        recordings = {flat / "two.wav": two, polled / "three.wav": three, polled / "below" / "four.wav": four}
        recordings |= {prompt / "below" / "five.wav": five, link / "one.wav": one}
        for path, sentence in recordings.items():
            shutil.copy(sentence, path)
        for path in recordings:
            daemon.wait_for(path, FileState.DONE)
        assert daemon.explain(flat / "below" / "one.wav").reason == "sub-folders are not watched here"
        assert daemon.explain(patient / "one.wav").state is FileState.GROWING
        assert re.fullmatch(r"it appeared \d+ s ago", daemon.explain(patient / "one.wav").reason)
        assert {entry.path for entry in daemon.ledger()} == {str(path) for path in (*recordings, patient / "one.wav")}


def _states(daemon: Panotti, folders: list[Path]) -> list[str]:
    states = {folder.path: folder.state for folder in daemon.status().folders}
    return [states[str(folder)] for folder in folders]


def _with_inotify(daemon: Panotti, folders: list[Path]) -> set[Path]:
    """The folders that the kernel tells the daemon of."""
    assert daemon.process
    watches = ""
    for path in Path(f"/proc/{daemon.process.pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            watches += path.read_text()
    inodes = {int(inode, 16) for inode in re.findall(r"^inotify wd:\S+ ino:(\S+)", watches, re.MULTILINE)}
    return {folder for folder in folders if folder.stat().st_ino in inodes}


def test_what_waits_for_settings_to_be_mended_goes_on_with_the_new_ones(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    cancelled, waiting = tmp_path / "in" / "cancelled.wav", tmp_path / "in" / "waiting.wav"
    folder = watch(tmp_path / "in", model="tiny.en")
    with panotti({"watch": [{**folder, "language": "de"}]}) as daemon:
        memo(waiting)
        assert "the language is set to 'de'" in daemon.wait_for(waiting, FileState.WAITING).reason
        daemon.post("/pause", {})
        memo(cancelled, 1)
        recording = daemon.wait_for(cancelled, FileState.READY).recording_id
        daemon.post(f"/recordings/{recording}/cancel")
        daemon.stop()
        daemon.configure({"watch": [folder]})
        daemon.start()
        daemon.post("/resume")
        daemon.post(f"/recordings/{recording}/retry")
        for path in (waiting, cancelled):
            daemon.wait_for(path, FileState.DONE)
            assert json.loads((daemon.transcripts / f"{path.stem}.json").read_text())["settings"]["language"] == "auto"
