"""The journal of events from the command line: list, show, follow, replay, and see to what died."""

from __future__ import annotations

import re
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.choices import DeliveryState, Urgency
from panotti_daemon.cli.ask import JSON, absolute, ask, confirm, counted, is_path, print_json
from panotti_daemon.cli.event_tree import described, draw, local_time, short
from panotti_daemon.errors import PanottiError, RequestFailed

if TYPE_CHECKING:
    from panotti_daemon.api.schemas import (
        DeadDelivery,
        EventDetail,
        EventHeader,
        EventPage,
        ReplayReport,
        ReplayRequest,
        StoredEvent,
    )
    from panotti_daemon.client import Client

INTERRUPTED = 130
NOT_FOUND = 404
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

events_app = typer.Typer(help="See what happened, what caused what, and deliver it again.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(events_app, name="events")


def _moment(text: str) -> datetime:
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhdw])", text):
            return datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter("give a time such as 2026-11-22T18:00, a day, or how long ago: 30m, 2h, 7d") from None


WHAT = typer.Argument(None, metavar="[EVENT|CORRELATION|PATH]", help="An id, or how it begins or ends; or a recording.")
NAME = typer.Option(None, help="Only events of this name; `*` stands for any part.")
CORRELATION = typer.Option(
    None, metavar="ID|PATH", help="Only events of this correlation: its id, how that begins or ends, or its recording."
)
PLUGIN = typer.Option(None, help="Only what was for this plugin.")
SINCE = typer.Option(None, parser=_moment, metavar="TIME", help="2026-11-22T18:00, 2026-11-22, or 2h for so long ago.")
UNTIL = typer.Option(None, parser=_moment, metavar="TIME", help="As with --since.")
LIMIT = typer.Option(50, min=1, max=1000)
YES = typer.Option(False, "--yes", "-y", help="Do not ask.")


@events_app.command("list")
def list_events(
    name: str = NAME,
    correlation: str = CORRELATION,
    plugin: str = PLUGIN,
    state: DeliveryState = typer.Option(None, help="Only events with a delivery in this state."),
    since: datetime = SINCE,
    until: datetime = UNTIL,
    before: str = typer.Option(None, help="Only what came before this event: goes on after the last of a list."),
    limit: int = LIMIT,
    as_json: bool = JSON,
) -> None:
    """List events, the newest first, and how far each has come."""

    async def listed(client: Client) -> EventPage:
        query: dict[str, str | int] = {"limit": limit}
        if correlation:
            _, query["correlation_id"] = await _meant(client, correlation)
        if before:
            query["before"] = (await client.event(before)).id
        times = {key: moment.isoformat() for key, moment in (("since", since), ("until", until)) if moment}
        words = {key: word for key, word in (("name", name), ("subscriber", plugin), ("state", state)) if word}
        return await client.journal(query | times | words)

    page = ask(listed)
    if as_json:
        print_json(page)
        return
    for event in page.items:
        deliveries = ", ".join(f"{d.subscriber} {d.state.value}" for d in event.deliveries) or "for nobody"
        typer.echo(f"{_line(event)}  {deliveries}")
    if page.next_before:
        typer.echo(f"There are more: --before {short(page.next_before)}")
    elif not page.items:
        typer.echo("None.")


@events_app.command()
def show(
    what: str = typer.Argument(..., metavar="EVENT|CORRELATION|PATH", help="An id, or how it begins or ends."),
    as_json: bool = JSON,
) -> None:
    """Draw what caused what; of one event, show its data, too."""

    async def looked(client: Client) -> tuple[EventDetail | None, list[StoredEvent]]:
        event, correlation_id = await _meant(client, what)
        return event, await client.correlation(correlation_id)

    event, correlation = ask(looked)
    if as_json:
        events = [each.model_dump(mode="json") for each in correlation]
        print_json({"event": event and event.model_dump(mode="json"), "correlation": events})
        return
    if event:
        for key in ("name", "id", "source_plugin", "priority", "payload_version"):
            if (value := getattr(event, key)) is not None:
                typer.echo(f"{key:<16} {value}")
        typer.echo(f"{'created_at':<16} {local_time(event.created_at)}")
        for delivery in event.deliveries:
            typer.echo(f"{delivery.subscriber:<16} {described(delivery)} ({local_time(delivery.updated_at)})")
        print_json(event.data)
    draw(correlation, event.id if event else None)


@events_app.command()
def tail(
    name: str = NAME,
    data: bool = typer.Option(False, "--data", help="With their data, which may hold parts of transcripts."),
    as_json: bool = typer.Option(False, "--json", help="Print a line of JSON for each."),
) -> None:
    """Follow events and announcements as they pass, until Ctrl+C."""
    import json

    from panotti_daemon.api.schemas import MissedMessages

    async def follow(client: Client) -> None:
        async with aclosing(client.passing(name, data=data)) as messages:
            async for message in messages:
                if as_json:
                    line = message.model_dump_json(exclude_none=True)
                elif isinstance(message, MissedMessages):
                    line = f"{counted(message.count, 'message')} passed too fast to be shown."
                else:
                    id = short(message.id) if message.id else "(passing)"
                    shown = f"  {json.dumps(message.data, ensure_ascii=False)}" if data else ""
                    line = f"{local_time(message.at)}  {id:<9}  {message.name}{shown}"
                typer.echo(line)
                sys.stdout.flush()

    try:
        ask(follow)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    typer.echo("The daemon has ended.", err=True)


@events_app.command()
def replay(
    what: str = WHAT,
    name: str = NAME,
    correlation: str = CORRELATION,
    since: datetime = SINCE,
    until: datetime = UNTIL,
    to: str = typer.Option(None, metavar="PLUGIN", help="Only to this plugin; else to every one that wants them."),
    priority: Urgency = typer.Option(Urgency.BACKLOG, help="How urgent it is beside what waits already."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be done."),
    yes: bool = YES,
    as_json: bool = JSON,
) -> None:
    """Deliver again what was delivered before. Says first what that is, and asks."""
    from panotti_daemon.api.schemas import ReplayRequest

    async def planned(client: Client) -> tuple[ReplayRequest, ReplayReport]:
        event_id, correlation_id = await _which(client, what, correlation)
        request = ReplayRequest(
            event_id=event_id,
            correlation_id=correlation_id,
            name=name,
            since=since,
            until=until,
            to=to,
            priority=priority,
            dry_run=True,
        )
        return request, await client.replay(request)

    request, report = ask(planned)
    if not as_json:
        _tell_plan(report)
    if not dry_run and report.events:
        confirm("Deliver them again?", yes=yes)
        report = ask(lambda client: client.replay(request.model_copy(update={"dry_run": False})))
        if not as_json:
            typer.echo(f"{counted(sum(report.deliveries.values()), 'delivery', 'deliveries')} queued.")
    if as_json:
        print_json(report)


@events_app.command()
def dead(
    what: str = WHAT,
    plugin: str = PLUGIN,
    retry: bool = typer.Option(False, "--retry", help="Deliver them again, with all their attempts."),
    discard: bool = typer.Option(False, "--discard", help="Give them up; asks first."),
    limit: int = LIMIT,
    yes: bool = YES,
    as_json: bool = JSON,
) -> None:
    """List deliveries that died, retry or discard them. The newest come first."""
    from panotti_daemon.api.schemas import DeadSelection

    if retry and discard:
        raise typer.BadParameter("either --retry or --discard")

    async def found(client: Client) -> tuple[DeadSelection, list[DeadDelivery]]:
        event_id, correlation_id = await _which(client, what, None)
        given = {"event_id": event_id, "correlation_id": correlation_id, "subscriber": plugin}
        chosen = {key: value for key, value in given.items() if value}
        which = DeadSelection.model_validate(chosen or {"all": True})
        return which, await client.dead_deliveries({"limit": limit, **chosen})

    which, letters = ask(found)
    if not retry and not discard:
        _tell_dead(letters, as_json=as_json)
        return
    if discard and letters:
        confirm("Give up what died?" if which.all else f"Give up these {len(letters)}?", yes=yes)
    changed = ask(lambda client: client.retry_dead(which) if retry else client.discard_dead(which))
    if as_json:
        print_json(changed)
    else:
        done = "queued again" if retry else "discarded"
        typer.echo(f"{counted(changed.count, 'delivery', 'deliveries')} {done}.")


async def _meant(client: Client, what: str) -> tuple[EventDetail | None, str]:
    """The event that is meant, if it is one, and the correlation."""
    if is_path(what):
        entry = await client.explain(absolute(Path(what)))
        if entry.recording_id is None:
            raise PanottiError(f"{what} is no recording: {entry.reason}.", title="Nothing happened to it")
        return None, entry.recording_id
    try:
        event = await client.event(what)
        return event, event.correlation_id
    except RequestFailed as refusal:
        try:
            return None, (await client.correlation(what))[0].correlation_id
        except RequestFailed as second:
            if refusal.status == second.status == NOT_FOUND:
                words = f"No event, correlation or file is known by {what}."
                raise PanottiError(words, title="Not in the journal") from None
            raise refusal from None


async def _which(client: Client, what: str | None, correlation: str | None) -> tuple[str | None, str | None]:
    """The ids of an event, or else of a correlation."""
    event, correlation_id = await _meant(client, what) if what else (None, None)
    if correlation:
        _, correlation_id = await _meant(client, correlation)
    return (event.id if event else None), (correlation_id if correlation or not event else None)


def _tell_plan(report: ReplayReport) -> None:
    for step in report.steps:
        if step.subscribers:
            typer.echo(f"{_line(step.event)}  to {', '.join(step.subscribers)}")
    if report.events > len(report.steps):
        typer.echo(f"... and {report.events - len(report.steps)} more.")
    to = ", ".join(f"{count} to {name}" for name, count in report.deliveries.items())
    typer.echo(f"{counted(report.events, 'event')} to be delivered again{': ' if to else ''}{to}.")
    if report.on_their_way:
        typer.echo(f"{counted(report.on_their_way, 'delivery', 'deliveries')} still on the way, and left alone.")


def _tell_dead(letters: list[DeadDelivery], *, as_json: bool) -> None:
    if as_json:
        print_json([letter.model_dump(mode="json") for letter in letters])
        return
    for letter in letters:
        attempts = counted(letter.attempts, "attempt")
        typer.echo(f"{_line(letter.event)}  {letter.subscriber} after {attempts}: {letter.error}")
    if not letters:
        typer.echo("None.")


def _line(event: EventHeader) -> str:
    return f"{local_time(event.created_at)}  {short(event.id)}  {event.name}"
