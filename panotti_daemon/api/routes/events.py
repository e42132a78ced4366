"""The journal of events: read, followed, replayed; and the deliveries that died."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from panotti_daemon.api.schemas import (
    Changed,
    DeadDelivery,
    DeadSelection,
    EventDetail,
    EventHeader,
    EventPage,
    MissedMessages,
    Moment,
    PassingMessage,
    ReplayReport,
    ReplayRequest,
    ReplayStep,
    StoredEvent,
)
from panotti_daemon.api.services import Injected
from panotti_daemon.choices import DeliveryState
from panotti_daemon.core.events.journal import Entry, Selection
from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.events.replay import Step
from panotti_daemon.core.events.types import EventPriority

router = APIRouter(prefix="/journal", tags=["journal"])

KEEP_ALIVE = ":\n\n"
KEEP_ALIVE_SECONDS = 15.0
MOST_STEPS = 100

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
Before = Annotated[str | None, Query(description="Only what came before this event: `next_before` of the page before.")]
Name = Annotated[str | None, Query(description="Only events of this name; `*` stands for any part.")]
Correlation = Annotated[str | None, Query(description="Only what belongs to this correlation.")]
Subscriber = Annotated[str | None, Query(description="Only what was for this plugin.")]
State = Annotated[DeliveryState | None, Query(description="Only events with a delivery in this state.")]
Since = Annotated[Moment | None, Query(description="Only what happened then or later.")]
Until = Annotated[Moment | None, Query(description="Only what happened before.")]
EventId = Annotated[str, InPath(description="Of an event, or how it begins or ends, if no other does.")]
CorrelationId = Annotated[str, InPath(description="Of a correlation, or how it begins or ends, if no other does.")]


@router.get("", summary="Stored events without their data, the newest first")
async def journal(
    services: Injected,
    name: Name = None,
    correlation_id: Correlation = None,
    subscriber: Subscriber = None,
    state: State = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Before = None,
) -> EventPage:
    selection = Selection(
        correlation_id=correlation_id, name=name, since=since, until=until, subscriber=subscriber, state=state
    )
    entries, next_before = await services.journal.page(selection, limit, before)
    return EventPage(items=[_stored(entry) for entry in entries], next_before=next_before)


@router.get(
    "/stream",
    summary="What passes, as server-sent events",
    description="An event `event` or `announcement` with a PassingMessage for each that passes from now on, and "
    "`missed` with their `count` for those that passed too fast.",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(
    services: Injected,
    name: Name = None,
    data: Annotated[bool, Query(description="With their data, which may hold parts of transcripts.")] = False,
) -> StreamingResponse:
    async def told() -> AsyncIterator[str]:
        yield KEEP_ALIVE
        async for message in services.tail.messages(KEEP_ALIVE_SECONDS):
            if message is None:
                yield KEEP_ALIVE
            elif isinstance(message, MissedMessages):
                yield _server_sent("missed", message)
            elif name is None or fnmatchcase(message.name, name):
                passing = _passing(message, with_data=data)
                yield _server_sent(passing.kind, passing)

    return StreamingResponse(told(), media_type="text/event-stream")


@router.get("/dead", summary="Deliveries that died, the newest first")
async def dead(
    services: Injected,
    event_id: Annotated[str | None, Query(description="Only those of this event.")] = None,
    name: Name = None,
    correlation_id: Correlation = None,
    subscriber: Subscriber = None,
    limit: Limit = 50,
) -> list[DeadDelivery]:
    selection = Selection(event_id=event_id, correlation_id=correlation_id, name=name, subscriber=subscriber)
    return [
        DeadDelivery(
            event=_header(letter.event),
            subscriber=letter.delivery.subscriber,
            attempts=letter.delivery.attempts,
            error=letter.delivery.error,
            died_at=letter.delivery.updated_at,
        )
        for letter in await services.dead_letters.find(selection, limit)
    ]


@router.post("/dead/retry", summary="Deliver what died again, with all its attempts")
async def retry(services: Injected, body: DeadSelection) -> Changed:
    return Changed(count=await services.dead_letters.retry(_selection(body)))


@router.post("/dead/discard", summary="Give up what died")
async def discard(services: Injected, body: DeadSelection) -> Changed:
    return Changed(count=await services.dead_letters.discard(_selection(body)))


@router.post("/replay", summary="Deliver again what was delivered before, or only say what that would do")
async def replay(services: Injected, body: ReplayRequest) -> ReplayReport:
    selection = Selection(
        event_id=body.event_id,
        correlation_id=body.correlation_id,
        name=body.name,
        since=body.since,
        until=body.until,
    )
    if body.dry_run:
        return _report(await services.replay.plan(selection, body.to))
    priority = EventPriority[body.priority.name]
    return _report(await services.replay.run(selection, body.to, priority))


@router.get("/correlations/{correlation_id}", summary="All that one cause set off, the oldest first")
async def correlation(services: Injected, correlation_id: CorrelationId) -> list[StoredEvent]:
    return [_stored(entry) for entry in await services.journal.correlation(correlation_id)]


@router.get("/{event_id}", summary="One event with its data and deliveries")
async def event(services: Injected, event_id: EventId) -> EventDetail:
    entry = await services.journal.entry(event_id)
    return EventDetail.model_validate(_facts(entry))


def _facts(entry: Entry) -> dict[str, object]:
    return entry.event.model_dump() | {"deliveries": [delivery.model_dump() for delivery in entry.deliveries]}


def _stored(entry: Entry) -> StoredEvent:
    return StoredEvent.model_validate(_facts(entry))


def _header(event: Event) -> EventHeader:
    return EventHeader.model_validate(event.model_dump())


def _selection(body: DeadSelection) -> Selection:
    return Selection(event_id=body.event_id, correlation_id=body.correlation_id, subscriber=body.subscriber)


def _report(steps: Sequence[Step]) -> ReplayReport:
    steps = [step for step in steps if step.subscribers or step.on_its_way_to]
    return ReplayReport(
        events=sum(bool(step.subscribers) for step in steps),
        deliveries=dict(Counter(name for step in steps for name in step.subscribers)),
        on_their_way=sum(len(step.on_its_way_to) for step in steps),
        steps=[
            ReplayStep(
                event=_header(step.event),
                subscribers=list(step.subscribers),
                on_its_way_to=list(step.on_its_way_to),
            )
            for step in steps[:MOST_STEPS]
        ],
    )


def _passing(message: Event | Announcement, *, with_data: bool) -> PassingMessage:
    data = message.data if with_data else None
    if not isinstance(message, Event):
        return PassingMessage(kind="announcement", name=message.name, at=datetime.now(UTC), data=data)
    return PassingMessage(
        kind="event",
        name=message.name,
        at=message.created_at,
        id=message.id,
        correlation_id=message.correlation_id,
        source_plugin=message.source_plugin,
        data=data,
    )


def _server_sent(name: str, data: BaseModel) -> str:
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n"
