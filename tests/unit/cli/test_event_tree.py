from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from panotti_daemon.api.schemas import StoredDelivery, StoredEvent
from panotti_daemon.choices import DeliveryState
from panotti_daemon.cli.event_tree import described, draw

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def event(
    name: str, *deliveries: StoredDelivery, cause: str | None = None, by: str | None = None, after: float = 0
) -> StoredEvent:
    return StoredEvent(
        id=f"id-of-{name}",
        name=name,
        correlation_id="correlation",
        cause_id=f"id-of-{cause}" if cause else None,
        source_plugin=by,
        priority=10,
        created_at=NOW + timedelta(seconds=after),
        deliveries=list(deliveries),
    )


def delivery(
    to: str, state: DeliveryState = DeliveryState.DONE, after: float = 0, attempts: int = 1, error: str | None = None
) -> StoredDelivery:
    moment = NOW + timedelta(seconds=after)
    again = moment if state is DeliveryState.WAITING else None
    return StoredDelivery(
        subscriber=to, state=state, attempts=attempts, available_at=again, error=error, updated_at=moment
    )


def drawn(capsys: pytest.CaptureFixture[str], *events: StoredEvent) -> list[str]:
    draw(events)
    return capsys.readouterr().out.splitlines()[1:]


def test_what_a_plugin_answered_hangs_below_its_delivery(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(
        capsys,
        event("a.asked", delivery("one", after=1.5), delivery("two", DeliveryState.DEAD, 75, 3, "no use")),
        event("one.answered", cause="a.asked", by="one", after=1.5),
        event("two.error", cause="a.asked", by="two", after=3700),
        event("b.came_later", after=2 * 86400 + 59.6),
    ) == [
        "├── a.asked  -a.asked  +0.00 s",
        "│   ├── one: done  +1.50 s",
        "│   │   └── one.answered  answered  +1.50 s",
        "│   └── two: dead after 3 attempts: no use  +0:01:15",
        "│       └── two.error  wo.error  +1:01:40",
        "└── b.came_later  me_later  +2 d 0:01:00",
    ]


def test_an_effect_whose_cause_is_gone_is_drawn_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(
        capsys,
        event("one.answered", delivery("two"), cause="a.asked", by="one"),
        event("two.answered", cause="one.answered", by="two"),
    ) == [
        "└── one.answered  answered  +0.00 s  (its cause is no longer kept)",
        "    └── two: done  +0.00 s",
        "        └── two.answered  answered  +0.00 s",
    ]


def test_what_no_delivery_explains_hangs_below_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(capsys, event("a.asked"), event("b.answered", cause="a.asked", by="somebody")) == [
        "└── a.asked  -a.asked  +0.00 s",
        "    └── b.answered  answered  +0.00 s",
    ]


def test_a_long_chain_and_a_long_reason_stay_on_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "word " * 100
    chain = [event("step.number0", delivery("plugin", DeliveryState.DEAD, error=reason))]
    chain += [event(f"step.number{n}", cause=f"step.number{n - 1}") for n in range(1, 200)]
    lines = drawn(capsys, *chain)
    assert len(lines) == 201
    assert "step.number199" in lines[-2] + lines[-1]
    assert sum("dead: word word" in line for line in lines) == 1


def test_names_that_look_like_markup_are_left_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = drawn(capsys, event("a.asked", delivery("one", DeliveryState.DEAD, error="[bold]no[/nothing]")))[1:]
    assert line.endswith("one: dead: [bold]no[/nothing]  +0.00 s")


def test_a_delivery_says_when_it_is_tried_again() -> None:
    waiting = delivery("one", DeliveryState.WAITING, error="no drive")
    assert described(waiting) == f"waiting, tried again at {NOW.astimezone():%H:%M:%S}: no drive"
