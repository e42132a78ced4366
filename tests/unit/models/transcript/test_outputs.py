from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panotti_daemon.errors import OutputUnavailable, PlanOutdated
from panotti_daemon.models.recording.names import stem
from panotti_daemon.models.transcript.adoption import find_documents, sibling_outputs
from panotti_daemon.models.transcript.formats import Document, DocumentSegment, render
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.models.transcript.outputs import (
    Action,
    Destination,
    KnownOutput,
    Plan,
    base_names,
    digest,
    output_folder,
    plan,
    write,
)
from panotti_daemon.settings import Format

NOW = datetime(2025, 1, 21, 9, 30, tzinfo=UTC)
FORMATS = (Format.TXT, Format.SRT, Format.JSON)


def document(recording_id: str = "first", text: str = "Hello.") -> Document:
    return Document(
        content_id=f"content of {recording_id}",
        recording_id=recording_id,
        title="A call",
        sources=(),
        settings=RequestedSettings(language="auto", model="auto"),
        model="tiny.en",
        language="en",
        language_probability=1.0,
        duration=1.0,
        speech_seconds=1.0,
        incomplete=False,
        created_at=NOW,
        versions={},
        warnings=(),
        speaker_labels={},
        segments=(
            DocumentSegment(
                id=0, start=0, end=1, text=text, track=None, avg_logprob=0, no_speech_prob=0, compression_ratio=1
            ),
        ),
    )


class Desk:
    """A watched folder, an output folder, and a memory of what was written, as the daemon's database has it."""

    def __init__(self, folder: Path) -> None:
        self.watched = folder / "in"
        self.output = folder / "out"
        self.output.mkdir()
        self.known: list[KnownOutput] = []

    def plan(
        self, source: str, document: Document, formats: tuple[Format, ...] = FORMATS, earlier: tuple[str, ...] = ()
    ) -> Plan:
        destination = Destination.of([self.watched / source], self.watched, self.output, document.title)
        return plan(document, formats, destination, self.known, earlier)

    def remember(self, plan: Plan, document: Document) -> None:
        self.known += [KnownOutput(output.path, document.recording_id, output.digest) for output in plan.outputs]

    def transcribe(
        self, source: str, document: Document, formats: tuple[Format, ...] = FORMATS, earlier: tuple[str, ...] = ()
    ) -> Plan:
        made = self.plan(source, document, formats, earlier)
        self.remember(made, document)
        write(made)
        return made

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())

    def read(self, name: str) -> str:
        return (self.output / name).read_text("utf-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system in memory; again with `remount,ro` makes it read-only."""
    drive = tmp_path / "drive"
    drive.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(drive)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mounting is not permitted here: {error}")
        mounted = True
        return drive

    yield mount
    if mounted:
        subprocess.run(["umount", str(drive)], check=True)


def set_of(base: str) -> list[str]:
    return sorted(f"{base}.{format}" for format in FORMATS)


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("call.m4a", "call"),
        ("CALL.WAV", "CALL"),
        ("2025.01.21-call.m4a", "2025.01.21-call"),
        ("2025.01.21", "2025.01.21"),
        ("v1.final", "v1.final"),
        ("call.tar.mp3", "call.tar"),
        ("...mp3", ".."),
        (".mp3", ".mp3"),
    ],
)
def test_stem_takes_off_a_media_suffix_and_nothing_else(name: str, expected: str) -> None:
    assert stem(name) == expected


def test_names_come_as_stem_then_whole_then_numbered() -> None:
    assert list(islice(base_names(["call.mp3"], "Title"), 4)) == ["call", "call.mp3", "call (2)", "call (3)"]


def test_several_tracks_are_called_by_their_title() -> None:
    names = base_names(["call_mic.wav", "call_system.wav"], "call")

    assert list(islice(names, 3)) == ["call", "call_mic.wav", "call (2)"]


@pytest.mark.parametrize("title", ["", ".", "..", "...", " . ", "   "])
def test_a_name_of_dots_is_no_name(title: str) -> None:
    assert next(base_names(["a.wav", "b.wav"], title)) == "recording"
    assert next(base_names(["...mp3"], title)) == "recording"


def test_a_title_never_leads_into_another_folder() -> None:
    assert next(base_names(["a.wav", "b.wav"], "../Anna/Bob\n")) == ".._Anna_Bob_"


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1, max_size=300))
def test_names_fit_into_a_folder_whatever_the_recording_is_called(name: str) -> None:
    for base in islice(base_names([name + ".mp3"], "title"), 12):
        assert len(os.fsencode(f"{base}.json")) <= 255
        assert base.strip(". ")
        base.encode()


@settings(deadline=None)
@given(st.integers(200, 300), st.sampled_from(["ü", "👩‍👩‍👧", "a", "が"]))
def test_long_names_that_differ_at_their_end_stay_apart(length: int, character: str) -> None:
    first, second = (next(base_names([f"{character * length}{end}.mp3"], "title")) for end in "ab")

    assert first != second


def test_a_name_of_240_bytes_is_kept_and_a_longer_one_is_cut_between_characters(desk: Desk) -> None:
    fits = "Gespräch 🎙️ " + "ü" * 112
    assert len(fits.encode()) == 242
    desk.transcribe(f"{fits}.m4a", document())
    assert desk.files() == set_of(fits)

    longer = "ü" * 125 + "x"
    assert len(f"{longer}.m4a".encode()) == 255
    made = desk.transcribe(f"{longer}.m4a", document("second"))
    base = made.outputs[0].path.stem
    assert base.startswith("ü" * 120 + "~")
    assert set(desk.files()) == {*set_of(fits), *set_of(base)}


def test_a_file_name_that_is_no_utf8_is_written_readably(desk: Desk) -> None:
    desk.transcribe("caf\udce9.wav", document())

    assert desk.files() == set_of("caf\ufffd")


# Clashes


def test_call_wav_and_call_mp3_have_a_set_each(desk: Desk) -> None:
    desk.transcribe("call.wav", document("first", "From the wav."))
    desk.transcribe("call.mp3", document("second", "From the mp3."))

    assert desk.files() == sorted([*set_of("call"), *set_of("call.mp3")])
    assert desk.read("call.txt") == "From the wav.\n"
    assert desk.read("call.mp3.txt") == "From the mp3.\n"


def test_two_recordings_that_say_the_same_have_a_set_each(desk: Desk) -> None:
    desk.transcribe("call.wav", document("first", "…"), (Format.TXT,))
    desk.transcribe("call.mp3", document("second", "…"), (Format.TXT,))

    assert desk.files() == ["call.mp3.txt", "call.txt"]


def test_sub_folders_are_mirrored(desk: Desk) -> None:
    desk.transcribe("a/memo.m4a", document("first"))
    desk.transcribe("b/c/memo.m4a", document("second"))

    assert desk.files() == sorted([*(f"a/{name}" for name in set_of("memo")), *(f"b/c/{n}" for n in set_of("memo"))])


def test_outputs_stand_beside_or_below_the_output_folder() -> None:
    source, watched, output = Path("/in/a/memo.m4a"), Path("/in"), Path("/out")

    assert output_folder(source, watched, output) == Path("/out/a")
    assert output_folder(source, watched, "beside") == Path("/in/a")
    assert output_folder(Path("/elsewhere/memo.m4a"), watched, output) == Path("/out")
    assert Destination.of([source], watched, "beside", "memo").root == Path("/in/a")


def test_a_file_of_the_users_own_is_never_touched(desk: Desk) -> None:
    (desk.output / "call.txt").write_text("My own notes.")

    desk.transcribe("call.mp3", document())

    assert desk.read("call.txt") == "My own notes."
    assert desk.files() == sorted(["call.txt", *set_of("call (2)")])


def test_an_edited_transcript_is_never_replaced_and_the_set_stays_together(desk: Desk) -> None:
    desk.transcribe("call.mp3", document(text="Helo."))
    (desk.output / "call.txt").write_text("Hello, corrected by hand.")

    desk.transcribe("call.mp3", document(text="Hello again."))
    desk.transcribe("call.mp3", document(text="Hello once more."))

    assert desk.read("call.txt") == "Hello, corrected by hand."
    assert desk.read("call (2).txt") == "Hello once more.\n"
    assert desk.files() == sorted([*set_of("call"), *set_of("call (2)")])


def test_numbers_go_on_while_names_are_taken(desk: Desk) -> None:
    for name in ("call.txt", "call (2).srt", "call (3).json"):
        (desk.output / name).write_text("mine")

    assert {output.path.stem for output in desk.transcribe("call.mp3", document()).outputs} == {"call (4)"}


def test_the_edited_transcript_of_another_recording_counts_as_that_recordings(desk: Desk) -> None:
    desk.transcribe("call.wav", document("first"))
    (desk.output / "call.txt").write_text("Edited.")

    desk.transcribe("call.mp3", document("second"))

    assert desk.files() == sorted([*set_of("call"), *set_of("call.mp3")])
    assert desk.read("call.txt") == "Edited."


def test_an_unedited_transcript_is_replaced_by_a_new_one_of_its_recording(desk: Desk) -> None:
    desk.transcribe("call.mp3", document(text="Before."))
    made = desk.transcribe("call.mp3", document(text="After."))

    assert {output.action for output in made.outputs} == {Action.REPLACE}
    assert desk.files() == set_of("call")
    assert desk.read("call.txt") == "After.\n"


def test_a_new_revision_replaces_the_earlier_ones(desk: Desk) -> None:
    desk.transcribe("call.mp3", document("first"))
    desk.transcribe("call.mp3", document("revised", "Longer."), earlier=("first",))

    assert desk.files() == set_of("call")
    assert desk.read("call.txt") == "Longer.\n"


def test_a_recording_keeps_its_name_when_a_better_one_is_free_again(desk: Desk) -> None:
    desk.transcribe("call.wav", document("first"))
    desk.transcribe("call.mp3", document("second"))
    for name in set_of("call"):
        (desk.output / name).unlink()

    desk.transcribe("call.mp3", document("second", "Better."))

    assert desk.files() == set_of("call.mp3")


def test_a_deleted_set_is_written_anew_under_the_first_name(desk: Desk) -> None:
    desk.transcribe("call.mp3", document())
    for name in set_of("call"):
        (desk.output / name).unlink()

    desk.transcribe("call.mp3", document())

    assert desk.files() == set_of("call")


def test_a_format_that_is_wanted_later_joins_its_set(desk: Desk) -> None:
    desk.transcribe("call.mp3", document(), (Format.TXT,))
    made = desk.transcribe("call.mp3", document(), (Format.TXT, Format.MD))

    assert [output.action for output in made.outputs] == [Action.KEEP, Action.WRITE]
    assert desk.files() == ["call.md", "call.txt"]


def test_folders_and_links_in_the_way_are_left_alone(desk: Desk, tmp_path: Path) -> None:
    (desk.output / "call.txt").mkdir()
    (desk.output / "call (2).txt").symlink_to(tmp_path / "nowhere")

    desk.transcribe("call.mp3", document())

    assert desk.files() == set_of("call (3)")
    assert not (tmp_path / "nowhere").exists()


# Crashes and races


def test_a_plan_that_is_written_twice_makes_one_set(desk: Desk) -> None:
    made = desk.plan("call.mp3", document())

    write(made)
    write(made)

    assert desk.files() == set_of("call")


def test_what_a_crash_left_written_is_found_and_kept(desk: Desk) -> None:
    write(desk.plan("call.mp3", document()))

    again = desk.plan("call.mp3", document())

    assert {output.action for output in again.outputs} == {Action.KEEP}
    write(again)
    assert desk.files() == set_of("call")


def test_a_crash_before_or_after_a_file_was_replaced_leaves_one_set(desk: Desk) -> None:
    desk.transcribe("call.mp3", document(text="Before."))
    new = document(text="After.")
    half = desk.plan("call.mp3", new)
    desk.remember(half, new)
    write(Plan(half.destination, half.outputs[:1]))

    again = desk.transcribe("call.mp3", new)

    assert [output.action for output in again.outputs] == [Action.KEEP, Action.REPLACE, Action.REPLACE]
    assert desk.files() == set_of("call")


def test_a_crash_that_left_an_empty_file_on_a_drive_without_links_leaves_one_set(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The end of the daemon"""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    def end(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(Path, "hardlink_to", refuse)
        context.setattr(Path, "replace", end)
        with pytest.raises(Killed):
            desk.transcribe("call.mp3", document())
    assert [desk.read(name) for name in desk.files()] == [""]

    desk.transcribe("call.mp3", document())

    assert desk.files() == set_of("call")
    assert "" not in [desk.read(name) for name in desk.files()]


def test_a_file_that_somebody_makes_meanwhile_is_not_overwritten(desk: Desk) -> None:
    made = desk.plan("call.mp3", document())
    (desk.output / "call.srt").write_text("mine")

    with pytest.raises(PlanOutdated, match="was changed"):
        write(made)

    assert desk.read("call.srt") == "mine"
    desk.transcribe("call.mp3", document())
    assert desk.files() == sorted(["call.srt", *set_of("call (2)")])


def test_a_file_that_is_edited_meanwhile_is_not_replaced(desk: Desk) -> None:
    desk.transcribe("call.mp3", document(text="Before."))
    made = desk.plan("call.mp3", document(text="After."))
    (desk.output / "call.txt").write_text("Edited.")

    with pytest.raises(PlanOutdated):
        write(made)

    assert desk.read("call.txt") == "Edited."
    assert desk.files() == set_of("call")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_made_at_the_last_moment_is_not_overwritten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    made = desk.plan("call.mp3", document(), (Format.TXT,))
    link = Path.hardlink_to

    def make_first(path: Path, target: Path) -> None:
        path.write_text("mine")
        if not links:
            raise OSError(errno.EPERM, "Operation not permitted")
        link(path, target)

    monkeypatch.setattr(Path, "hardlink_to", make_first)
    with pytest.raises(PlanOutdated, match="made by somebody else"):
        write(made)

    assert desk.read("call.txt") == "mine"
    assert desk.files() == ["call.txt"]


def test_a_file_system_without_links_works_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    desk.transcribe("call.mp3", document())

    assert desk.files() == set_of("call")
    assert desk.read("call.txt") == "Hello.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_files_have_the_permissions_that_the_user_gives_new_files(desk: Desk) -> None:
    before = os.umask(0o027)
    try:
        desk.transcribe("call.mp3", document())
    finally:
        os.umask(before)

    assert (desk.output / "call.txt").stat().st_mode & 0o777 == 0o640
    assert (desk.output / "call.txt").stat().st_nlink == 1


# What is not there, or cannot be written


def test_an_output_folder_that_is_gone_is_not_made(desk: Desk) -> None:
    made = desk.plan("a/call.mp3", document())
    desk.output.rmdir()

    for attempt in (lambda: write(made), lambda: desk.plan("a/call.mp3", document())):
        with pytest.raises(OutputUnavailable, match=r"out is not there; is its drive connected\?"):
            attempt()

    assert not desk.output.exists()


def test_a_file_where_a_folder_belongs_is_named(desk: Desk) -> None:
    (desk.output / "a").write_text("mine")

    with pytest.raises(OutputUnavailable, match=r"a is a file, where the transcripts need a folder"):
        desk.plan("a/b/call.mp3", document())


def test_a_full_disk_leaves_nothing_behind(desk: Desk, mount: Callable[[str], Path]) -> None:
    desk.output = mount("size=64k")
    (desk.output / "filler").write_bytes(bytes(40_000))

    with pytest.raises(OutputUnavailable, match="The disk is full: make room there") as caught:
        desk.transcribe("call.mp3", document(text="word " * 5000))
    assert str(desk.output) in caught.value.message
    assert desk.files() == ["filler"]

    (desk.output / "filler").unlink()
    desk.transcribe("call.mp3", document(text="word"))
    assert desk.files() == set_of("call")


def test_a_full_disk_keeps_what_was_to_be_replaced(desk: Desk, mount: Callable[[str], Path]) -> None:
    desk.output = mount("size=64k")
    desk.transcribe("call.mp3", document(text="Before."))

    with pytest.raises(OutputUnavailable):
        desk.transcribe("call.mp3", document(text="word " * 20_000))

    assert desk.read("call.txt") == "Before.\n"
    assert desk.files() == set_of("call")


def test_a_read_only_drive_is_reported(desk: Desk, mount: Callable[[str], Path]) -> None:
    desk.output = mount("size=64k")
    mount("remount,ro")

    with pytest.raises(OutputUnavailable, match="The drive is read-only: make it writable"):
        desk.transcribe("a/call.mp3", document())


def test_a_folder_that_may_not_be_entered_is_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(OutputUnavailable, match="may not write there"):
        desk.plan("call.mp3", document())


def test_any_error_of_the_disk_that_may_pass_is_unavailable(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (errno.EIO, errno.EDQUOT, errno.EACCES, errno.ENODEV, errno.ESTALE, errno.ENOTCONN):

        def fail(descriptor: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OutputUnavailable, match=r"Transcripts cannot be written to .*out\. "):
            write(desk.plan("call.mp3", document()))
        assert desk.files() == []


# What earlier runs left


def test_transcripts_are_found_among_other_json_files(desk: Desk) -> None:
    desk.transcribe("call.mp3", document())
    desk.transcribe("a/memo.mp3", document("second"))
    (desk.output / "other.json").write_text('{"schema": "other"}')
    (desk.output / "damaged.json").write_text('{"schema": "panotti.transcript", ')
    (desk.output / "binary.json").write_bytes(b'"panotti.transcript"\xff\xff')
    (desk.output / "late.json").write_text(" " * 200 + render(Format.JSON, document()))
    if hasattr(os, "mkfifo"):
        os.mkfifo(desk.output / "pipe.json")

    assert list(find_documents(desk.output)) == [
        (desk.output / "call.json", document()),
        (desk.output / "a" / "memo.json", document("second")),
    ]


def test_a_set_that_the_database_lost_is_known_again_but_for_what_was_edited(desk: Desk) -> None:
    desk.transcribe("2025.01.21.mp3", document())
    (desk.output / "2025.01.21.srt").write_text("Edited.")
    ((path, found),) = find_documents(desk.output)

    outputs = sibling_outputs(path, found)

    assert sorted(output.path.suffix for output in outputs) == [".json", ".srt", ".txt"]
    assert [output.path.suffix for output in outputs if output.digest != digest(output.path.read_bytes())] == [".srt"]
    assert sorted(outputs, key=str) == sorted(desk.known, key=str)


def test_a_tidied_set_that_is_found_is_known_to_be_unedited(desk: Desk) -> None:
    desk.transcribe("call.wav", document(text="Well... yes .").model_copy(update={"clean_text": True}))
    assert desk.read("call.txt") == "Well… yes.\n"
    ((path, found),) = find_documents(desk.output)

    assert all(output.digest == digest(output.path.read_bytes()) for output in sibling_outputs(path, found))
