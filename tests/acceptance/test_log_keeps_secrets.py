"""What the log of a whole run, at its most talkative, must never hold."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import SAMPLE, SAMPLE_TEXT

MARK = "only-in-the-environment"


def test_neither_token_nor_speech_nor_environment_is_logged(panotti: Callable[..., Panotti]) -> None:
    settings = {"log": {"level": "debug"}}
    with panotti(settings, environment={"SOME_API_SECRET": MARK}) as daemon:
        token = daemon.runtime.token
        target = daemon.recordings / "call.wav"
        shutil.copy(SAMPLE, target)
        entry = daemon.wait_for(target, FileState.DONE)
        assert entry.recording_id
        daemon.recording(entry.recording_id)
        daemon.request("GET", "/status", headers={"Authorization": "Bearer wrong-token-of-a-stranger"})
        daemon.request("GET", "/nowhere", params={"token": "in-the-address"})
        transcript = (daemon.transcripts / "call.txt").read_text(encoding="utf-8")

    told = daemon.log() + daemon.output.read_text(encoding="utf-8")
    assert len(daemon.log_lines()) > 5
    for secret in (token, "Bearer", "wrong-token-of-a-stranger", "in-the-address", MARK):
        assert secret not in told, secret
    spoken = phrases(transcript) | phrases(SAMPLE_TEXT)
    assert spoken
    assert not {phrase for phrase in spoken if phrase in " ".join(words(told))}


def phrases(text: str) -> set[str]:
    """Every three words that follow each other: single ones occur anywhere."""
    found = words(text)
    return {" ".join(found[i : i + 3]) for i in range(len(found) - 2)}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
