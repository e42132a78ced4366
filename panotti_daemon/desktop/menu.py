"""What the tray icon shows for a status of the daemon: pure, and the same for every backend.

The menu always has the same structure, and what does not apply is invisible: a panel can then change it in place, even
while it is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from panotti_daemon.api.schemas import Activity, FolderStatus, Status
from panotti_daemon.desktop.icons import IconState, quantised

LONGEST_LABEL = 48
LONGEST_STATUS = 72
LONGEST_TITLE = 100
"""Windows cuts tool tips at 127."""
RECENT = 5


class Action(Enum):
    OPEN = auto()
    ACCEPT_BACKLOG = auto()
    PAUSE = auto()
    RESUME = auto()
    RETRY_FAILED = auto()
    QUIT = auto()
    CLOSE = auto()


@dataclass(frozen=True)
class MenuEntry:
    label: str
    action: Action | None = None
    target: str | None = None
    """The file or folder to open."""
    enabled: bool = True
    visible: bool = True
    default: bool = False
    """What happens where a panel lets the icon itself be activated."""
    children: tuple[MenuEntry, ...] = ()


SEPARATOR = MenuEntry("")


@dataclass(frozen=True)
class View:
    """All that can be seen of the tray. Two that are equal look the same."""

    state: IconState
    fraction: float
    title: str
    menu: list[MenuEntry]


def view_of(status: Status | None) -> View:
    """None: no daemon answers."""
    if status is None:
        return View(IconState.OFFLINE, 0.0, "Panotti is not running", menu_for(None))
    state = IconState(status.activity)
    fraction = sum(job.fraction for job in status.jobs) / max(1, len(status.jobs))
    return View(
        state,
        quantised(fraction) if state is IconState.WORKING else 0.0,
        shortened(f"Panotti: {status.summary}", LONGEST_TITLE),
        menu_for(status),
    )


def menu_for(status: Status | None) -> list[MenuEntry]:
    online = status is not None
    failed = status.queue.failed if status else 0
    paused = status is not None and status.activity is Activity.PAUSED
    folder = status.folders[0] if status and status.folders else None
    return [
        MenuEntry(shortened(status.summary, LONGEST_STATUS) if status else "Panotti is not running", enabled=False),
        _backlog(status),
        SEPARATOR,
        MenuEntry("Recent transcripts", children=_recent(status)),
        _open("Open recordings folder", folder.path if folder else None),
        _open("Open transcripts folder", _output(folder), default=True),
        SEPARATOR,
        MenuEntry("Resume", Action.RESUME) if paused else MenuEntry("Pause", Action.PAUSE, enabled=online),
        MenuEntry(f"Retry failed ({failed})" if failed else "Retry failed", Action.RETRY_FAILED, enabled=failed > 0),
        SEPARATOR,
        MenuEntry("Quit Panotti", Action.QUIT),
        MenuEntry("Close tray icon", Action.CLOSE),
    ]


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """Cut in the middle: a file name's beginning and end both tell it from others."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}…{text[-end:]}"


def duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return "about a minute"
    return f"about {minutes} min" if minutes < 90 else f"about {round(minutes / 60)} h"


def _backlog(status: Status | None) -> MenuEntry:
    backlog = status.backlog if status else []
    files = sum(folder.files for folder in backlog)
    recordings = "1 older recording" if files == 1 else f"{files} older recordings"
    seconds = sum(folder.estimated_seconds for folder in backlog)
    return MenuEntry(f"Transcribe {recordings} ({duration(seconds)})…", Action.ACCEPT_BACKLOG, visible=files > 0)


def _recent(status: Status | None) -> tuple[MenuEntry, ...]:
    """As many entries as there can ever be, those in excess invisible."""
    recent = status.recent[:RECENT] if status else []
    entries = [_open(shortened(transcript.title), transcript.path) for transcript in recent]
    none_yet = MenuEntry("None yet", enabled=False, visible=not entries)
    return (none_yet, *entries, *[MenuEntry("-", visible=False)] * (RECENT - len(entries)))


def _output(folder: FolderStatus | None) -> str | None:
    if folder is None:
        return None
    return folder.path if folder.output == "beside" else folder.output


def _open(label: str, path: str | None, *, default: bool = False) -> MenuEntry:
    return MenuEntry(label, Action.OPEN, path, enabled=path is not None, default=default)
