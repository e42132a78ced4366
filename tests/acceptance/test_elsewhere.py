"""Files that a person asks for from outside of the watched folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import SAMPLE, librivox_sentences


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "Downloads"
    folder.mkdir()
    return folder


def test_it_is_transcribed_as_if_it_lay_in_the_first_folder_and_its_neighbours_are_left_alone(
    panotti: Callable[..., Panotti], elsewhere: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "in", tmp_path / "out"
    for folder in (first, second):
        folder.mkdir()
    wanted, neighbour = (Path(shutil.copy(path, elsewhere)) for path in list(librivox_sentences())[:2])
    with panotti({"watch": [{"path": str(first), "output": str(second), "formats": ["md"]}]}) as daemon:
        daemon.post("/ledger/now", {"path": str(wanted)})
        daemon.wait_for(wanted, FileState.DONE)
        assert [path.name for path in second.iterdir()] == [f"{wanted.stem}.md"]
        assert [entry.path for entry in daemon.ledger()] == [str(wanted)]
        assert {path.name for path in elsewhere.iterdir()} == {wanted.name, neighbour.name}


def test_one_that_was_asked_for_before_a_crash_is_transcribed_after_it(
    panotti: Callable[..., Panotti], elsewhere: Path
) -> None:
    wanted = elsewhere / "talk.wav"
    with panotti() as daemon:
        with wanted.open("wb") as writing:  # it does not settle as long as somebody writes to it
            writing.write(SAMPLE.read_bytes()[:20_000])
            writing.flush()
            daemon.post("/ledger/now", {"path": str(wanted)})
            daemon.wait_for(wanted, FileState.GROWING)
            daemon.kill()
            daemon.start()
            assert daemon.explain(wanted).state is FileState.GROWING
            writing.write(SAMPLE.read_bytes()[20_000:])
        daemon.wait_for(wanted, FileState.DONE)
        assert len(daemon.events("transcription_local.completed")) == 1


def test_one_that_changes_while_it_waits_is_looked_at_again(panotti: Callable[..., Panotti], elsewhere: Path) -> None:
    first, second = list(librivox_sentences())[:2]
    wanted = Path(shutil.copy(first, elsewhere / "talk.wav"))
    with panotti() as daemon:
        daemon.post("/pause", {"until": None})
        daemon.post("/ledger/now", {"path": str(wanted)})
        daemon.wait_for(wanted, FileState.READY)
        before = daemon.explain(wanted).recording_id
        shutil.copy(second, wanted)
        daemon.post("/resume")
        wait_until(lambda: daemon.explain(wanted).recording_id != before, "its new content is known")
        daemon.wait_for(wanted, FileState.DONE)
        assert len(daemon.events("transcription_local.completed")) == 1


def test_what_cannot_be_a_recording_is_refused_with_its_reason(
    panotti: Callable[..., Panotti], elsewhere: Path
) -> None:
    shutil.copy(SAMPLE, elsewhere / ".hidden.wav")
    shutil.copy(SAMPLE, elsewhere / "half.wav.part")
    with panotti() as daemon:
        for name, reason in (("gone.wav", "no such file"), (".hidden.wav", "hidden"), ("half.wav.part", "temporary")):
            answer = daemon.request("POST", "/ledger/now", json={"path": str(elsewhere / name)})
            assert answer.status_code == 409
            assert reason in answer.json()["detail"]
        assert daemon.ledger() == []
