"""Identity is content: whatever it is called and wherever it comes, it is decoded once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.watching import completions, decodings, memo, watch


def test_one_content_under_three_names_is_decoded_once(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop)]})
    with daemon:
        first = memo(drop / "first.wav")
        second = memo(drop / "second.wav")
        entries = [daemon.wait_for(path, FileState.DONE, FileState.DUPLICATE) for path in (first, second)]
        original, copy = sorted(entries, key=lambda entry: entry.state is FileState.DUPLICATE)
        assert original.state is FileState.DONE
        assert copy.duplicate_of == original.path
    with daemon:
        third = memo(drop / "third.wav")
        entry = daemon.wait_for(third)
        assert entry.state is FileState.DUPLICATE
        assert entry.duplicate_of == original.path
        assert f"duplicate: the same content as {original.path}" in daemon.command("explain", third).stdout
    assert len(completions(daemon)) == 1
    assert decodings(daemon) == 1


def test_a_deleted_transcript_comes_back_without_the_engine_when_its_file_is_dropped_again(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop)]})
    with daemon:
        source = memo(drop / "memo.wav")
        daemon.wait_for(source, FileState.DONE)
        text = (daemon.transcripts / "memo.txt").read_text()

        (daemon.transcripts / "memo.txt").unlink()
        source.unlink()
        wait_until(lambda: not daemon.explain(source).present, "the file is seen to be gone")
        memo(source)
        wait_until(lambda: (daemon.transcripts / "memo.txt").exists(), "the transcript is back")
        assert (daemon.transcripts / "memo.txt").read_text() == text

        (daemon.transcripts / "memo.txt").unlink()
        memo(drop / "another name.wav")
        wait_until(lambda: (daemon.transcripts / "memo.txt").exists(), "its set is whole again")

        for name in daemon.outputs():
            (daemon.transcripts / name).unlink()
        memo(drop / "third name.wav")
        wait_until(lambda: len(daemon.outputs()) == 3, "the transcript is back once more")
        assert next(daemon.transcripts.glob("*.txt")).read_text() == text
    assert decodings(daemon) == 1
    assert len(completions(daemon)) == 1


def test_a_copy_in_another_folder_gets_the_outputs_of_that_folder_without_decoding(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    calls = watch(tmp_path / "calls", output=tmp_path / "texts")
    notes = watch(tmp_path / "notes", output=tmp_path / "captions", formats=["vtt", "txt"])
    daemon = panotti({"watch": [calls, notes]})
    with daemon:
        source = memo(tmp_path / "calls" / "call.wav")
        daemon.wait_for(source, FileState.DONE)
        copy = tmp_path / "notes" / "sub" / "note.wav"
        copy.parent.mkdir()
        shutil.copy(source, copy)
        assert daemon.wait_for(copy).duplicate_of == str(source)
        written = {tmp_path / "captions" / "sub" / name for name in ("note.vtt", "note.txt")}
        wait_until(lambda: set((tmp_path / "captions").rglob("*.*")) == written, "the copy has its outputs")
    assert decodings(daemon) == 1


def test_a_copy_in_a_folder_of_another_language_gets_a_transcript_of_its_own_there(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    calls = watch(tmp_path / "calls", output=tmp_path / "texts", formats=["md"])
    notes = watch(tmp_path / "notes", output=tmp_path / "other", formats=["md"], language="en")
    daemon = panotti({"watch": [calls, notes]})
    with daemon:
        daemon.wait_for(memo(tmp_path / "calls" / "call.wav"), FileState.DONE)
        daemon.wait_for(memo(tmp_path / "notes" / "note.wav"), FileState.DONE)
    titles = {path.name: path.read_text().splitlines()[0] for path in tmp_path.glob("*/*.md")}
    assert titles == {"call.md": "# call", "note.md": "# note"}
    assert decodings(daemon) == 2


def test_a_copy_whose_original_goes_before_its_turn_is_transcribed_in_its_place(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    drop = tmp_path / "in"
    daemon = panotti({"watch": [watch(drop)]})
    with daemon:
        daemon.post("/pause", {})
        original = memo(drop / "original.wav")
        daemon.wait_for(original, FileState.READY)
        copy = memo(drop / "copy.wav")
        daemon.wait_for(copy, FileState.DUPLICATE)
        original.unlink()
        daemon.post("/resume")
        daemon.wait_for(copy, FileState.DONE)
        assert daemon.outputs() == {"copy.txt", "copy.srt", "copy.json"}
    assert decodings(daemon) == 1
