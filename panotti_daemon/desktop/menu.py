"""What the tray icon shows for a status of the daemon: pure, and the same for every backend.

The menu always has the same structure, and what does not apply is invisible: a panel can then change it in place, even
while it is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import Enum, auto
from pathlib import PurePath

from panotti_daemon.api.model_schemas import ListedModel, ModelInventory
from panotti_daemon.api.schemas import (
    Activity,
    Failure,
    FolderStatus,
    Job,
    ModelDownload,
    PluginStatus,
    QueuedRecording,
    RecentTranscript,
    Status,
)
from panotti_daemon.desktop.icons import IconState, quantised
from panotti_daemon.sizes import shown_size

LONGEST_LABEL = 48
LONGEST_STATUS = 72
LONGEST_TITLE = 100
"""Windows cuts tool tips at 127."""
ROWS = 5
"""Of jobs, queue, recent transcripts and failures."""
PLUGIN_ROWS = 12
MODEL_ROWS = 8
"""Of those that are here."""
KNOWN_MODEL_ROWS = 20
"""Of those that could be."""
AUTOMATIC = "auto"
NO_MODELS = ModelInventory(setting=AUTOMATIC, machine="", models=[], uses=[])
MORNING = time(6)
NOTIFIER = "desktop_notifier"


class Action(Enum):
    OPEN = auto()
    SHOW_IN_FOLDER = auto()
    COPY_TEXT = auto()
    TRANSCRIBE_NEXT = auto()
    CANCEL = auto()
    RETRY = auto()
    RETRY_FAILED = auto()
    ACCEPT_BACKLOG = auto()
    PAUSE_FOR_AN_HOUR = auto()
    PAUSE_UNTIL_TOMORROW = auto()
    PAUSE = auto()
    RESUME = auto()
    START_AT_LOGIN = auto()
    START_AT_LOGIN_NO_MORE = auto()
    ENABLE_PLUGIN = auto()
    DISABLE_PLUGIN = auto()
    USE_MODEL = auto()
    PULL_MODEL = auto()
    CANCEL_PULL = auto()
    CHECK_HEALTH = auto()
    ABOUT = auto()
    QUIT = auto()
    CLOSE = auto()


@dataclass(frozen=True)
class MenuEntry:
    label: str
    action: Action | None = None
    target: str | None = None
    """What it acts on: the file or folder to open, or the id of a recording, or the name of a plugin or a model."""
    enabled: bool = True
    visible: bool = True
    checked: bool | None = None
    """None: nothing that could be checked."""
    radio: bool = False
    """Of those that are checked by turns."""
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


def view_of(
    status: Status | None, *, starts_at_login: bool | None = None, models: ModelInventory | None = None
) -> View:
    """Without a status, no daemon answers; the others are None as long as they are not known."""
    menu = menu_for(status, starts_at_login, models)
    if status is None:
        return View(IconState.OFFLINE, 0.0, "Panotti is not running", menu)
    state = IconState(status.activity)
    fraction = sum(job.fraction for job in status.jobs) / max(1, len(status.jobs))
    return View(
        state,
        quantised(fraction) if state is IconState.WORKING else 0.0,
        shortened(f"Panotti: {status.summary}", LONGEST_TITLE),
        menu,
    )


def menu_for(
    status: Status | None, starts_at_login: bool | None = None, models: ModelInventory | None = None
) -> list[MenuEntry]:
    folder = status.folders[0] if status and status.folders else None
    return [
        MenuEntry(shortened(status.summary, LONGEST_STATUS) if status else "Panotti is not running", enabled=False),
        _backlog(status),
        SEPARATOR,
        _queue(status),
        _recent(status.recent if status else []),
        _failed(status),
        SEPARATOR,
        _open("Open recordings folder", folder.path if folder else None),
        _open("Open transcripts folder", _output(folder), default=True),
        SEPARATOR,
        *_pause_and_resume(status),
        _settings(status, starts_at_login, models if status else None),
        MenuEntry("Check health", Action.CHECK_HEALTH),
        MenuEntry(f"About Panotti {status.version}" if status else "About Panotti", Action.ABOUT),
        SEPARATOR,
        MenuEntry("Quit Panotti", Action.QUIT),
        MenuEntry("Close tray icon", Action.CLOSE),
    ]


def tomorrow_morning(now: datetime) -> datetime:
    """The next local day's: who works past midnight does not mean the morning in a few hours."""
    return datetime.combine(now.date() + timedelta(days=1), MORNING).astimezone()  # of the offset that holds then


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


def _queue(status: Status | None) -> MenuEntry:
    jobs = status.jobs if status else []
    queued = status.queued if status else []
    count = len(jobs) + (status.queue.ready if status else 0)
    entries = [*map(_job, jobs), *map(_queued, queued)]
    rest = count - len(entries[:ROWS])
    more = MenuEntry(f"and {rest} more", enabled=False, visible=rest > 0)
    rows = _rows(entries, "Nothing waits", spare=_queued(QueuedRecording(recording_id="", title="")))
    return MenuEntry(f"Queue ({count})" if count else "Queue", children=(*rows, more))


def _job(job: Job) -> MenuEntry:
    return _waiting(job.recording_id, f"{shortened(job.title, LONGEST_LABEL - 7)}, {job.fraction:.0%}", runs=True)


def _queued(recording: QueuedRecording) -> MenuEntry:
    return _waiting(recording.recording_id, shortened(recording.title), runs=False)


def _waiting(recording_id: str, label: str, *, runs: bool) -> MenuEntry:
    next_one = MenuEntry("Transcribe next", Action.TRANSCRIBE_NEXT, recording_id, visible=not runs)
    return MenuEntry(label, children=(next_one, MenuEntry("Cancel", Action.CANCEL, recording_id)))


def _recent(recent: Iterable[RecentTranscript]) -> MenuEntry:
    rows = _rows([*map(_transcript, recent)], "None yet", spare=_transcript(None))
    return MenuEntry("Recent transcripts", children=rows)


def _transcript(transcript: RecentTranscript | None) -> MenuEntry:
    path = transcript.path if transcript else None
    return MenuEntry(
        shortened(transcript.title) if transcript else "",
        children=(
            _open("Open", path),
            MenuEntry("Copy text", Action.COPY_TEXT, transcript.recording_id if transcript else None),
            MenuEntry("Show in folder", Action.SHOW_IN_FOLDER, path, enabled=path is not None),
        ),
    )


def _failed(status: Status | None) -> MenuEntry:
    """Also what waits for something outside can be tried again at once: the user may have just brought it back."""
    failures = status.failures if status else []
    count = status.queue.failed if status else 0
    waiting = status.queue.waiting if status else 0
    rows = _rows([*map(_failure, failures)], "None", spare=_failure(None))
    all_of_them = MenuEntry("Retry all", Action.RETRY_FAILED, enabled=count + waiting > 0)
    return MenuEntry(f"Failed ({count})" if count else "Failed", children=(*rows, all_of_them))


def _failure(failure: Failure | None) -> MenuEntry:
    reason = shortened(failure.reason, LONGEST_STATUS) if failure else ""
    path = failure.path if failure else None
    return MenuEntry(
        shortened(PurePath(failure.path).name) if failure else "",
        children=(
            MenuEntry(reason, enabled=False),
            MenuEntry("Retry", Action.RETRY, path),
            MenuEntry("Show in folder", Action.SHOW_IN_FOLDER, path),
        ),
    )


def _pause_and_resume(status: Status | None) -> tuple[MenuEntry, MenuEntry]:
    paused = status is not None and status.activity is Activity.PAUSED
    ways = (
        MenuEntry("For 1 hour", Action.PAUSE_FOR_AN_HOUR),
        MenuEntry("Until tomorrow", Action.PAUSE_UNTIL_TOMORROW),
        MenuEntry("Until resumed", Action.PAUSE),
    )
    return (
        MenuEntry("Pause", enabled=status is not None, visible=not paused, children=ways),
        MenuEntry("Resume", Action.RESUME, visible=paused),
    )


def _settings(status: Status | None, starts_at_login: bool | None, models: ModelInventory | None) -> MenuEntry:
    plugins = status.plugins if status else []
    notifier = next((plugin for plugin in plugins if plugin.name == NOTIFIER), None)
    others = [_plugin(plugin, plugin.name) for plugin in plugins if plugin.name != NOTIFIER]
    login = Action.START_AT_LOGIN_NO_MORE if starts_at_login else Action.START_AT_LOGIN
    return MenuEntry(
        "Settings",
        children=(
            MenuEntry("Start at login", login, enabled=starts_at_login is not None, checked=bool(starts_at_login)),
            _plugin(notifier, "Notifications"),
            _models(models or NO_MODELS, status.downloads if status else []),
            MenuEntry("Plugins", children=_rows(others, "None", PLUGIN_ROWS, spare=_plugin(None, ""))),
        ),
    )


def _plugin(plugin: PluginStatus | None, label: str) -> MenuEntry:
    is_on = plugin is not None and plugin.state != "disabled"
    action = Action.DISABLE_PLUGIN if is_on else Action.ENABLE_PLUGIN
    if plugin and plugin.problem:
        label = shortened(plugin.problem, LONGEST_STATUS)
    return MenuEntry(label, action, plugin.name if plugin else None, enabled=plugin is not None, checked=is_on)


def _models(models: ModelInventory, downloads: Iterable[ModelDownload]) -> MenuEntry:
    here = [model.name for model in models.models if model.source and not model.damage]
    choices = [_model(name, models.setting) for name in here]
    if models.setting not in (AUTOMATIC, *here):
        choices.insert(0, MenuEntry(shortened(models.setting), enabled=False, checked=True, radio=True))
    chosen = next((use.model for use in models.uses if use.setting == AUTOMATIC), None)
    automatic = _model(AUTOMATIC, models.setting, f"Automatic ({chosen})" if chosen else "Automatic")
    under_way = {download.model: download for download in downloads}
    offers = [_pull(model, under_way.get(model.name)) for model in models.models if not model.source]
    return MenuEntry(
        "Model",
        enabled=bool(models.models),
        children=(
            automatic,
            *_rows(choices, "None is here yet", MODEL_ROWS, spare=_model("", models.setting)),
            SEPARATOR,
            MenuEntry("Get more", children=_rows(offers, "None", KNOWN_MODEL_ROWS, spare=MenuEntry(""))),
        ),
    )


def _model(name: str, setting: str, label: str = "") -> MenuEntry:
    return MenuEntry(label or shortened(name), Action.USE_MODEL, name, checked=name == setting, radio=True)


def _pull(model: ListedModel, download: ModelDownload | None) -> MenuEntry:
    if download and not download.problem:
        return MenuEntry(f"Cancel {model.name}, {download.fraction or 0:.0%}", Action.CANCEL_PULL, model.name)
    if download:
        return MenuEntry(shortened(f"{model.name}: {download.problem}", LONGEST_STATUS), Action.PULL_MODEL, model.name)
    size = f", {shown_size(model.size)}" if model.size else ""
    return MenuEntry(f"{model.name}{size}", Action.PULL_MODEL, model.name)


def _rows(entries: Sequence[MenuEntry], none: str, rows: int = ROWS, *, spare: MenuEntry) -> tuple[MenuEntry, ...]:
    """As many entries as there can ever be, those in excess invisible."""
    shown = entries[:rows]
    hidden = replace(spare, visible=False)
    return (MenuEntry(none, enabled=False, visible=not shown), *shown, *[hidden] * (rows - len(shown)))


def _output(folder: FolderStatus | None) -> str | None:
    if folder is None:
        return None
    return folder.path if folder.output == "beside" else folder.output


def _open(label: str, path: str | None, *, default: bool = False) -> MenuEntry:
    return MenuEntry(label, Action.OPEN, path, enabled=path is not None, default=default)
