"""Crashes of the daemon and of its engine, at any moment: one set of outputs, one completed event."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from panotti_daemon.api.schemas import LedgerEntry
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.speech import librivox_clip
from tests.watching import completions, decodings, engines, memo, wait_for_work, watch

KILLS = 8


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def daemon(panotti: Callable[..., Panotti], drop: Path) -> Panotti:
    return panotti({"watch": [watch(drop)]})


def crash_engine(daemon: Panotti, source: Path, attempt: int) -> LedgerEntry:
    """Kills whatever engine there is until the attempt has failed."""
    wait_until(lambda: decodings(daemon) == attempt, f"attempt {attempt} is under way")

    def failed() -> LedgerEntry | None:
        entry = daemon.explain(source)
        if entry.state in (FileState.WAITING, FileState.FAILED):
            return entry
        for process in engines(daemon):
            process.kill()
        return None

    return wait_until(failed, f"attempt {attempt} fails")


def test_after_a_crash_in_the_middle_of_a_transcription_it_arrives_once(daemon: Panotti, drop: Path) -> None:
    source = drop / "call.wav"
    words = librivox_clip(source, times=2).split()
    daemon.start()
    wait_for_work(daemon, "call")
    daemon.kill()
    with daemon:
        daemon.wait_for(source, FileState.DONE)
        assert daemon.outputs() == {"call.txt", "call.srt", "call.json"}
        assert len((daemon.transcripts / "call.txt").read_text().split()) == pytest.approx(len(words), rel=0.1)
    assert completions(daemon) == ["call"]


def test_a_crash_of_the_engine_costs_an_attempt_and_no_restart(daemon: Panotti, drop: Path) -> None:
    with daemon:
        source = memo(drop / "call.wav")
        assert "The engine" in crash_engine(daemon, source, attempt=1).reason
        daemon.wait_for(source, FileState.DONE)
        assert daemon.outputs() == {"call.txt", "call.srt", "call.json"}
    assert completions(daemon) == ["call"]
    assert not daemon.events("transcription_local.error")


def test_kills_at_random_moments_lose_and_double_nothing(daemon: Panotti, drop: Path) -> None:
    moments = random.Random(7)
    sources = []
    for number in range(KILLS):
        daemon.start()
        sources.append(memo(drop / f"{number}.wav", number))
        time.sleep(moments.uniform(0.2, 2))  # the moment itself is what is tried
        daemon.kill()
    with daemon:
        for source in sources:
            if daemon.wait_for(source, FileState.DONE, FileState.FAILED).state is FileState.FAILED:
                assert "Panotti itself ended" in daemon.explain(source).reason
                daemon.command("retry", source)
            daemon.wait_for(source, FileState.DONE)
        names = {f"{number}.{suffix}" for number in range(KILLS) for suffix in ("txt", "srt", "json")}
        assert daemon.outputs() == names
    assert sorted(completions(daemon)) == [str(number) for number in range(KILLS)]


def test_a_recording_that_always_fails_is_given_up_with_its_reason_until_it_is_retried(
    daemon: Panotti, drop: Path
) -> None:
    with daemon:
        source = memo(drop / "call.wav")
        for attempt in (1, 2):
            assert crash_engine(daemon, source, attempt).state is FileState.WAITING
            daemon.post("/ledger/retry", {"path": str(source)})
        failed = crash_engine(daemon, source, attempt=3)
        assert failed.state is FileState.FAILED
        assert "The engine" in failed.reason
        assert [failure.path for failure in daemon.status().failures] == [str(source)]
        assert "1 recording tried again" in daemon.command("retry").stdout
        daemon.wait_for(source, FileState.DONE)
        assert daemon.status().failures == []
    (error,) = daemon.events("transcription_local.error")
    assert (error["path"], error["attempts"]) == (str(source), 3)
    assert completions(daemon) == ["call"]


def _is_tried(daemon: Panotti, attempt: int) -> bool:
    return decodings(daemon) == attempt


def test_without_its_model_a_recording_waits_and_spends_no_attempt(panotti: Callable[..., Panotti], drop: Path) -> None:
    folder = watch(drop)
    daemon = panotti({"watch": [folder], "engine": {"model": str(drop.parent / "no-such-model")}})
    with daemon:
        source = memo(drop / "memo.wav")
        entry = daemon.wait_for(source, FileState.WAITING)
        assert "There is no complete Whisper model" in entry.reason
        for attempt in range(2, 5):
            daemon.post("/ledger/retry", {"path": str(source)})
            wait_until(partial(_is_tried, daemon, attempt), f"attempt {attempt}")
            daemon.wait_for(source, FileState.WAITING)
    daemon.configure({"watch": [folder]})
    with daemon:
        daemon.command("retry", source)
        daemon.wait_for(source, FileState.DONE)
    assert not daemon.events("transcription_local.error")
