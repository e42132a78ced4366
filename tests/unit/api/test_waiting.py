from __future__ import annotations

from datetime import datetime

import pytest

from panotti_daemon.api.schemas import PauseStatus
from panotti_daemon.api.waiting import held_up, pause_status
from panotti_daemon.engine.messages import Pace
from panotti_daemon.pausing.state import Cause, Reason, Verdict

NOW = datetime(2026, 3, 2, 12).astimezone()
EVENING = datetime(2026, 3, 2, 18).astimezone()
WEDNESDAY = datetime(2026, 3, 4, 6).astimezone()
NEXT_MONTH = datetime(2026, 4, 1, 6).astimezone()


@pytest.mark.parametrize(
    ("cause", "sentence"),
    [
        (Cause(Reason.ASKED), "Paused"),
        (Cause(Reason.ASKED, until=EVENING), "Paused until 18:00"),
        (Cause(Reason.ASKED, until=WEDNESDAY), "Paused until Wednesday 06:00"),
        (Cause(Reason.ASKED, until=NEXT_MONTH), "Paused until 2026-04-01 06:00"),
        (Cause(Reason.HOURS, until=EVENING), "Waiting until 18:00"),
        (Cause(Reason.BATTERY, battery_percent=24), "Waiting: on battery (24 %); goes on when charging"),
        (Cause(Reason.LOAD), "Waiting: the computer is busy"),
    ],
)
def test_what_holds_it_up_is_said_with_its_end(cause: Cause, sentence: str) -> None:
    assert held_up(cause, NOW) == sentence


def test_programs_are_told_of_what_holds_it_up_and_of_nothing_that_merely_slows_it_down() -> None:
    cause = Cause(Reason.BATTERY, battery_percent=24)
    assert pause_status(Verdict(Pace.HELD, cause)) == PauseStatus(reason="battery", battery_percent=24)
    assert pause_status(Verdict(Pace.SLOW, cause)) is None
    assert pause_status(Verdict()) is None
