"""`panotti forget`, from outside: nothing of it is left, and its file stays and stays quiet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_clip
from tests.watching import decodings, memo, silence, wait_for_work, watch


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], drop: Path) -> Panotti:
    return panotti({"watch": [watch(drop)], "engine": {"workers": 1}})


def holding(home: Path, phrase: str) -> list[str]:
    return [str(path) for path in home.rglob("*") if path.is_file() and phrase.encode() in path.read_bytes()]


def scan(daemon: Panotti, drop: Path) -> None:
    """Until a file that came later has been dealt with, by the scan at a start or by its event."""
    marker = silence(drop / "later.wav", 7)
    daemon.wait_for(marker, FileState.NO_SPEECH)


def test_nothing_of_what_was_said_is_left_and_the_file_stays_quiet(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source = memo(drop / "secret talk.wav")
        recording_id = daemon.wait_for(source, FileState.DONE).recording_id
        assert recording_id
        transcript = daemon.get(f"/recordings/{recording_id}/transcript.json")
        phrase = transcript["segments"][0]["text"].strip()[:20]
        assert holding(daemon.home, phrase)
        would = daemon.command("forget", source, "--outputs", "--dry-run")
        assert "1 transcript with" in would.stdout
        assert daemon.explain(source).state is FileState.DONE

        done = daemon.command("forget", source, "--outputs", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"deleted {daemon.transcripts / 'secret talk.txt'}" in done.stdout
        assert f"leaves {source}" in done.stdout
        assert holding(daemon.home, phrase) == []
        assert daemon.outputs() == set()
        assert daemon.request("GET", f"/recordings/{recording_id}").status_code == 404
    with daemon:
        scan(daemon, drop)
        assert source.exists()
        entry = daemon.explain(source)
        assert (entry.state, entry.recording_id) == (FileState.FORGOTTEN, None)
        assert holding(daemon.home, phrase) == []
        assert decodings(daemon) == 2

        assert "It is next" in daemon.command("now", source).stdout
        daemon.wait_for(source, FileState.DONE)
        assert "secret talk.txt" in daemon.outputs()


def test_what_is_being_transcribed_can_be_forgotten(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source = drop / "long.wav"
        librivox_clip(source, times=6)
        job = wait_for_work(daemon, "long")
        report = daemon.post("/ledger/forget", {"path": str(source), "outputs": True})
        assert [recording["id"] for recording in report["recordings"]] == [job.recording_id]
        scan(daemon, drop)
        assert daemon.explain(source).state is FileState.FORGOTTEN
        assert not [name for name in daemon.outputs() if name.startswith("long")]
        wait_until(lambda: not daemon.status().jobs, "no job is left")
        assert not daemon.events("transcription_local.error")


def test_an_id_or_a_path_that_is_not_known_is_one_clear_line(daemon: Panotti, drop: Path) -> None:
    with daemon:
        for what in ("01890000-0000-7000-8000-000000000000", drop / "nobody.wav"):
            result = daemon.command("forget", what, "--yes")
            assert result.returncode == 1
            assert result.stderr.count("\n") == 1
            assert f"Panotti knows no{'thing of' if isinstance(what, Path) else ' recording'} {what}" in result.stderr
            assert result.stdout == ""


def test_it_asks_before_it_forgets(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source = silence(drop / "call.wav")
        recording_id = daemon.wait_for(source, FileState.NO_SPEECH).recording_id
        assert recording_id
        refused = daemon.command("forget", recording_id[-8:])
        assert refused.returncode == 1
        assert "This would forget call" in refused.stdout
        assert daemon.explain(source).recording_id == recording_id
