"""What is no recording, or cannot be read, is explained in words, and keeps nothing else waiting."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import SAMPLE, ffmpeg, librivox_sentences


def test_odd_files_are_explained_and_the_good_file_after_them_is_done(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop, shut = tmp_path / "in", tmp_path / "shut"
    drop.mkdir()
    shut.mkdir(mode=0)
    good, within, locked, shut_in, *_ = librivox_sentences()
    watch = [{"path": str(drop)}, {"path": str(shut)}]
    with panotti({"watch": watch}, python=_python_without_privileges(tmp_path)) as daemon:
        (drop / "text.wav").write_text("Dear diary,\ntoday I recorded nothing.\n")
        (drop / "playlist.wav").write_text("#EXTM3U\n#EXTINF:10,\nhttp://localhost:9/secret.wav\nfile:///etc/passwd\n")
        (drop / "noise.mp3").write_bytes(bytes(range(128, 256)) * 500)
        (drop / "notes.txt").write_text("not media")
        ffmpeg("-f", "lavfi", "-t", "1", "-i", "testsrc=size=160x120", "-c:v", "mpeg4", drop / "silent film.mp4")
        (drop / "folder.wav").mkdir()
        (drop / "dangling.wav").symlink_to(drop / "nowhere.wav")
        os.mkfifo(drop / "pipe.wav")
        shutil.copy(locked, drop / "locked.wav")
        (drop / "locked.wav").chmod(0)
        (drop / "half.wav").write_bytes(SAMPLE.read_bytes()[:20])

        shutil.copy(within, drop / "folder.wav" / "within.wav")
        shutil.copy(good, drop / "good.wav")
        daemon.wait_for(drop / "good.wav", FileState.DONE)
        daemon.wait_for(drop / "folder.wav" / "within.wav", FileState.DONE)

        reasons = {
            "text.wav": "it is text, not a recording",
            "playlist.wav": "it is text, not a recording",
            "noise.mp3": "it is not a recording in any format that FFmpeg knows",
            "notes.txt": "not a media file",
            "silent film.mp4": "there is no audio in it: only video",
        }
        for name, reason in reasons.items():
            assert daemon.wait_for(drop / name, FileState.IGNORED).reason == reason
        unlisted = {
            "folder.wav": "it is a folder",
            "dangling.wav": "it is a link that leads nowhere",
            "pipe.wav": "it is not a file but a pipe, a socket or a device",
        }
        assert {name: daemon.explain(drop / name).reason for name in unlisted} == unlisted
        assert "its header is cut short" in daemon.wait_for(drop / "half.wav", FileState.GROWING).reason
        (half,) = (entry for entry in daemon.ledger(FileState.GROWING) if entry.path == str(drop / "half.wav"))
        assert "its header is cut short" in half.reason

        (folder,) = (folder for folder in daemon.status().folders if folder.path == str(shut))
        assert folder.state == "unreadable"
        assert folder.reason == "Permission denied; it is watched as soon as it can be read"
        shut.chmod(0o700)
        shutil.copy(shut_in, shut / "shut in.wav")
        daemon.wait_for(shut / "shut in.wav", FileState.DONE)

        entry = daemon.wait_for(drop / "locked.wav", FileState.WAITING)
        assert "cannot be opened: Permission denied" in entry.reason
        (drop / "locked.wav").chmod(0o600)
        daemon.wait_for(drop / "locked.wav", FileState.DONE)
        (drop / "nowhere.wav").hardlink_to(drop / "locked.wav")
        daemon.wait_for(drop / "nowhere.wav", FileState.DUPLICATE)


def _python_without_privileges(folder: Path) -> str:
    """For root, who may read everything, one that may not: then a file without permissions is what it is for others."""
    if os.geteuid() != 0:
        return sys.executable
    script = folder / "python"
    capabilities = "-dac_override,-dac_read_search"
    script.write_text(f'#!/bin/sh\nexec setpriv --bounding-set={capabilities} "{sys.executable}" "$@"\n')
    script.chmod(0o700)
    return str(script)
