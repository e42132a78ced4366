"""The ledger as a projection: whatever becomes of a delivery, its files say so in the same moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.choices import FileState
from panotti_daemon.core.events.dead_letters import DeadLetters
from panotti_daemon.core.events.handlers import Subscription
from panotti_daemon.core.events.journal import Selection
from panotti_daemon.core.events.models import Event
from panotti_daemon.core.events.replay import Replay
from panotti_daemon.core.events.types import RecordingData, RecordingReady
from panotti_daemon.errors import PermanentError
from panotti_daemon.intake.ledger import Ledger, Seen
from panotti_daemon.intake.settle import Look
from panotti_daemon.models.recording import store as recordings
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript import store as transcripts
from panotti_daemon.models.transcript.models import RequestedSettings
from tests.unit.core.events.scene import NOW, Recorder, Scene, play

FILE = Path("/in/call.wav")
RECORDING = Recording(
    id="r1",
    content_id="c1",
    title="call",
    tracks=(Track(path=FILE, content_hash="c1", size=1, mtime_ns=1),),
    folder=FILE.parent,
    created_at=NOW,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "panotti.db"


async def published(s: Scene) -> Ledger:
    """A ledger that follows the bus, and a file that was given to the worker."""
    ledger = Ledger(s.clock)
    ledger.transcribers = frozenset({"worker"})
    s.bus.project(ledger)
    async with s.database.transaction() as transaction:
        await recordings.insert(transaction.connection, RECORDING)
        transcript_id, _ = await transcripts.get_or_create(transaction.connection, "r1", RequestedSettings(), NOW)
        await ledger.see(transaction, [Seen(FILE, FILE.parent, Look(1, 1, 1))])
        await ledger.identified(
            transaction, FILE, FileState.READY, "its turn will come", recording_id="r1", transcript_id=transcript_id
        )
    payload = RecordingReady(
        recording=RecordingData.of(RECORDING), transcript_id=transcript_id, language="auto", model="auto"
    )
    await s.bus.publish(Event.create("recording.ready", payload, correlation_id="r1"))
    return ledger


async def shown(s: Scene, ledger: Ledger) -> tuple[FileState, str]:
    async with s.database.reading() as connection:
        row = await ledger.get(connection, FILE)
    assert row
    return row.state, row.reason


def test_a_file_whose_dead_transcription_is_discarded_has_not_failed_any_more(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder(PermanentError("it is damaged")), "recording.ready")
        ledger = await published(s)
        await s.until("dead")
        assert await shown(s, ledger) == (FileState.FAILED, "it is damaged")
        await DeadLetters(s.database, s.bus).discard(Selection(correlation_id="r1"))
        assert await shown(s, ledger) == (FileState.CANCELLED, "you gave it up after it had failed")

    play(path, act)


def test_a_file_follows_the_replay_of_its_transcription(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.subscribe("worker", Recorder(PermanentError("it is damaged")), "recording.ready")
        ledger = await published(s)
        await s.until("dead")
        s.bus.pause("worker")
        await Replay(s.database, s.bus, s.clock).run(Selection(correlation_id="r1"))
        assert await shown(s, ledger) == (FileState.READY, "its turn will come")

    play(path, act)


def test_a_file_whose_event_is_damaged_has_failed_and_says_why(path: Path) -> None:
    async def act(s: Scene) -> None:
        s.bus.declare(Subscription("worker", ("recording.ready",)))
        ledger = await published(s)
        async with s.database.transaction() as transaction:
            await transaction.connection.execute("UPDATE events SET data = '{'")
        s.bus.attach("worker", Recorder())
        await s.until("dead")
        state, reason = await shown(s, ledger)
        assert state is FileState.FAILED
        assert "The stored event is damaged: its data cannot be read." in reason

    play(path, act)
