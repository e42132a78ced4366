"""Whoever lacks outputs because of a transcript that was just made is told what is known of its content, as if it had
just come.

These are copies that came while there was nothing to give them, for the transcription had failed until then; and files
that still hold what the recording took the place of, whose outputs it may have replaced.
"""

from __future__ import annotations

from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Delivery, Event
from panotti_daemon.core.events.types import RecordingData, RecordingKnown
from panotti_daemon.intake.ledger import Ledger, LedgerRow
from panotti_daemon.models.database import Transaction
from panotti_daemon.models.recording import store as recordings


class Copies:
    """A projection of the bus."""

    def __init__(self, ledger: Ledger, bus: EventBus) -> None:
        self._ledger = ledger
        self._bus = bus

    async def event_stored(self, transaction: Transaction, event: Event) -> None:
        done = self._ledger.finished_by(event)
        if done is None:
            return
        connection = transaction.connection
        lacking = await self._ledger.select(
            connection, "untold_copies", recording_id=done.recording_id, transcript_id=done.transcript_id
        )
        for earlier in await recordings.earlier_revisions(connection, done.recording_id):
            holders = await self._ledger.select(connection, "sources_of_recording", recording_id=earlier)
            lacking += [row for row in holders if row.present]
        for row in lacking:
            await self._tell(transaction, row, event)

    async def _tell(self, transaction: Transaction, row: LedgerRow, cause: Event) -> None:
        assert row.recording_id
        assert row.transcript_id
        payload = RecordingKnown(
            recording=RecordingData.of(await recordings.get(transaction.connection, row.recording_id)),
            transcript_id=row.transcript_id,
            path=str(row.path),
            folder=str(row.folder),
        )
        known = Event.create(
            "recording.known",
            payload,
            correlation_id=row.recording_id,
            cause_id=cause.id,
            priority=cause.priority,
            created_at=cause.created_at,
        )
        await self._bus.publish(known, transaction=transaction)

    async def delivery_changed(self, transaction: Transaction, delivery: Delivery, event: Event) -> None:
        """Of no concern here."""
