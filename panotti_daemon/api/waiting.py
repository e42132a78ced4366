"""What holds transcription up, for people and for programs."""

from __future__ import annotations

from datetime import datetime

from panotti_daemon.api.schemas import PauseStatus
from panotti_daemon.clock import local
from panotti_daemon.engine.messages import Pace
from panotti_daemon.pausing.state import Cause, Reason, Verdict


def pause_status(verdict: Verdict) -> PauseStatus | None:
    """None where nothing is held up."""
    cause = verdict.cause
    if cause is None or verdict.pace is not Pace.HELD:
        return None
    return PauseStatus(reason=cause.reason.value, until=cause.until, battery_percent=cause.battery_percent)


def held_up(cause: Cause | None, now: datetime) -> str:
    """In a few words, with the end where that is known."""
    match cause:
        case Cause(Reason.BATTERY):
            return f"Waiting: on battery ({cause.battery_percent} %); goes on when charging"
        case Cause(Reason.LOAD):
            return "Waiting: the computer is busy"
        case Cause(Reason.HOURS):
            return f"Waiting{_until(cause.until, now)}"
        case _:
            return f"Paused{_until(cause.until if cause else None, now)}"


def _until(moment: datetime | None, now: datetime) -> str:
    """` until 14:30`, or with the day where that is not today's, or the date where that is not within a week."""
    if moment is None:
        return ""
    end = local(moment)
    days = (end.date() - local(now).date()).days
    if days == 0:
        return f" until {end:%H:%M}"
    return f" until {end:%A %H:%M}" if days < 7 else f" until {end:%Y-%m-%d %H:%M}"
