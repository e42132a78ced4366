"""Draws what caused what: an event, who got it and when, and below each of these what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from panotti_daemon.choices import DeliveryState

if TYPE_CHECKING:
    from rich.tree import Tree

    from panotti_daemon.api.schemas import StoredDelivery, StoredEvent

ID_CHARACTERS = 8
PLAIN_WIDTH = 1000
"""Where no terminal is: lines are not broken."""
STYLES = {DeliveryState.DEAD: "red", DeliveryState.WAITING: "yellow", DeliveryState.DONE: "green"}


def draw(events: Sequence[StoredEvent], marked: str | None = None) -> None:
    """Prints the events of a correlation, the oldest first, with times relative to the first."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(tree(events, marked))


def tree(events: Sequence[StoredEvent], marked: str | None = None) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    began = events[0].created_at
    top = Tree(Text(f"{local_time(began)}  correlation {events[0].correlation_id}"))
    branches: dict[tuple[str, str | None], Tree] = {}
    for event in events:  # a cause comes before what it caused
        above = branches.get((event.cause_id or "", event.source_plugin)) or branches.get((event.cause_id or "", None))
        label = Text(event.name, style="bold reverse" if event.id == marked else "bold")
        label.append(f"  {short(event.id)}  {_after(began, event.created_at)}", style="not bold")
        if event.cause_id and not above:
            label.append("  (its cause is no longer kept)", style="not bold dim")
        branches[event.id, None] = branch = (above or top).add(label)
        for delivery in event.deliveries:
            text = f"{delivery.subscriber}: {described(delivery)}  {_after(began, delivery.updated_at)}"
            branches[event.id, delivery.subscriber] = branch.add(Text(text, style=STYLES.get(delivery.state, "")))
    return top


def described(delivery: StoredDelivery) -> str:
    attempts = f" after {delivery.attempts} attempts" if delivery.attempts > 1 else ""
    again = f", tried again at {delivery.available_at.astimezone():%H:%M:%S}" if delivery.available_at else ""
    reason = f": {delivery.error}" if delivery.error else ""
    return f"{delivery.state.value}{attempts}{again}{reason}"


def short(id: str) -> str:
    """The part of an id that differs: they begin with the time."""
    return id[-ID_CHARACTERS:]


def local_time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _after(began: datetime, moment: datetime) -> str:
    seconds = (moment - began).total_seconds()
    if abs(seconds) < 60:
        return f"{seconds:+.2f} s"
    minutes, left = divmod(abs(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02}:{left:02}"
    return f"{'+' if seconds > 0 else '-'}{f'{days} d ' if days else ''}{clock}"
