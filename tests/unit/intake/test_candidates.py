from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.intake.candidates import (
    OTHER_SUFFIXES,
    TEMPORARY_SUFFIXES,
    not_media_by_name,
    why_not,
    why_not_enter,
)
from panotti_daemon.models.recording.names import MEDIA_SUFFIXES

TEMPORARY = [
    "call.wav.part",
    "Unconfirmed 12345.crdownload",
    "call.mp4.PART",
    "call.wav.partial",
    "call.wav.filepart",
    "call.download",
    "call.opdownload",
    "call.tmp",
    "call.temp",
    "call.mp3.!ut",
    "call.mp3.!qB",
    "call.mkv.aria2",
    "~$call.docx",
    "call.wav~",
    "~syncthing~call.wav.tmp",
    ".syncthing.call.wav.tmp",
    ".call.wav.~1a2b3c",
    "call.wav.~1a2b3c",
    "call.mp4.part-Frag12",
    "call.temp.m4a",
    "call.mp4.ytdl",
    ".part",
]

HIDDEN = [".call.wav", ".call.wav.Xy12Zz", "._call.wav", ".stfolder", ".DS_Store", ".nfs0001", ".gitignore"]

CANDIDATES = [
    "call.wav",
    "call",
    "CALL.M4A",
    "2025.01.21-call.m4a",
    "part.wav",
    "call.part1.wav",
    "my ~ call.wav",
    "~call.wav",
    "temp.mp3",
    "call~2.wav",
    "Aufnahme mit Jörg.opus",
    "call.unknown",
]


@pytest.mark.parametrize("name", TEMPORARY)
def test_a_temporary_name_is_no_candidate(name: str) -> None:
    assert why_not(Path("/recordings", name)) == "a temporary name; it is looked at once it is renamed"


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_file_is_no_candidate(name: str) -> None:
    assert why_not(Path("/recordings", name)) == "a hidden file; it is looked at once it is renamed"


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", "Icon\r"])
def test_files_of_the_system_are_no_candidates(name: str) -> None:
    assert why_not(Path("/recordings", name)) == "a file of the system, not a recording"


def test_what_is_still_in_icloud_is_told_as_such() -> None:
    assert (why_not(Path("/recordings/.call.m4a.icloud")) or "").startswith("still in iCloud")


@pytest.mark.parametrize("name", CANDIDATES)
def test_any_other_name_may_be_a_recording(name: str) -> None:
    assert why_not(Path("/recordings", name)) is None
    assert not_media_by_name(Path("/recordings", name)) is None


def test_only_the_name_itself_counts_not_the_folders_above() -> None:
    assert why_not(Path("/home/me/.local/share/calls.tmp/call.wav")) is None


@pytest.mark.parametrize(
    "name", ["call.txt", "call.SRT", "call.json", "notes.pdf", "photo.JPG", "list.m3u8", "a.tar.gz"]
)
def test_what_is_plainly_something_else_is_not_opened(name: str) -> None:
    assert not_media_by_name(Path(name)) == "not a media file"


def test_no_suffix_is_of_two_kinds() -> None:
    assert not MEDIA_SUFFIXES & OTHER_SUFFIXES
    assert not MEDIA_SUFFIXES & TEMPORARY_SUFFIXES
    assert not OTHER_SUFFIXES & TEMPORARY_SUFFIXES


@pytest.mark.parametrize("name", [".stversions", ".dropbox.cache", "@eaDir", "$RECYCLE.BIN", "call.download"])
def test_folders_of_the_system_and_of_sync_programs_are_not_entered(name: str) -> None:
    assert why_not_enter(Path("/recordings", name))


def test_any_other_folder_is_entered() -> None:
    assert why_not_enter(Path("/recordings/2025.01 Meetings")) is None
