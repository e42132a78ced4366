"""Watches the folders. File events are hints; scans are the truth.

watchdog drops events when its queue overflows and on network shares, and says nothing for ever once a watched root
was deleted and made again. So every folder is scanned at the start, every so often, and after an overflow; and its
root is looked at every few seconds: one that went, came back or was replaced gets a new watch and a scan.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import psutil
import structlog
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from panotti_daemon.core.plugins.blocking import in_own_thread
from panotti_daemon.intake.candidates import why_not, why_not_enter
from panotti_daemon.intake.observe import look
from panotti_daemon.intake.settle import Look
from panotti_daemon.loops import keep_going
from panotti_daemon.settings import WatchFolder
from panotti_daemon.spelling import compared, is_within

log = structlog.get_logger(__name__)

WATCHING = "watch folders"
ROOT_CHECK_SECONDS = 3.0
NETWORK_POLL_SECONDS = 15.0
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afpfs",
        "9p",
        "fuse.sshfs",
        "fuse.rclone",
        "fuse.davfs",
        "davfs",
        "webdav",
    }
)


State = Literal["watching", "polling", "missing", "unreadable"]


@dataclass(frozen=True)
class Found:
    path: Path
    look: Look


@dataclass(frozen=True)
class Scan:
    """Every candidate in a folder."""

    found: list[Found]
    root: tuple[int, int] | None = None
    """What tells the folder from another one at the same place, such as a drive that was mounted since."""
    unread: frozenset[Path] = frozenset()
    """Sub-folders that could not be read: what stands in them is not known to be gone."""
    is_blank: bool = False
    """Nothing at all stands there."""


@dataclass
class FolderState:
    """How the watching of one folder goes."""

    settings: WatchFolder
    state: State = "missing"
    reason: str | None = None
    polling_seconds: float | None = None
    """None: the system tells of changes."""

    @property
    def problem(self) -> str | None:
        """Why nothing of it is seen, in words for the user. Before the first look, nobody knows of any."""
        if self.state in ("missing", "unreadable") and self.reason:
            return f"{self.settings.path}: {self.reason}"
        return None


class Receiver(Protocol):
    async def scanned(self, folder: WatchFolder, scan: Scan) -> None:
        """A complete scan of a folder that is there."""

    async def hinted(self, folder: WatchFolder, paths: set[Path]) -> None:
        """Something happened to these paths."""

    def folders_changed(self) -> None:
        """The state of a folder changed."""


class Watcher:
    def __init__(
        self, folders: Iterable[WatchFolder], receiver: Receiver, *, rescan_seconds: float, left_out: Iterable[Path]
    ) -> None:
        """`left_out` are folders that are never looked into: outputs, and Panotti's own."""
        self._receiver = receiver
        self._rescan_seconds = rescan_seconds
        self._left_out = frozenset(map(compared, left_out))
        self._observer: BaseObserver | None = None
        self._folders = [_Folder(FolderState(settings)) for settings in folders]
        self._tasks: list[asyncio.Task[None]] = []
        self._overflow = _OverflowHandler(self._all_overflowed)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def states(self) -> list[FolderState]:
        return [folder.state for folder in self._folders]

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._observer = Observer()
        self._observer.start()
        logging.getLogger("watchdog").addHandler(self._overflow)
        self._tasks = [
            asyncio.create_task(keep_going(f"watch {f.settings.path}", partial(self._follow, f))) for f in self._folders
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        logging.getLogger("watchdog").removeHandler(self._overflow)
        if self._observer:
            self._observer.stop()
            await asyncio.to_thread(self._observer.join, 2.0)

    def rescan(self, path: Path | None = None) -> None:
        """Soon scans the folder that holds the path, or all of them."""
        for folder in self._folders:
            if path is None or is_within(path, folder.settings.path):
                folder.scan_wanted = True
                folder.wake.set()

    def folder_of(self, path: Path) -> WatchFolder | None:
        """The watched folder that a path belongs to: the deepest, where one stands inside another, and the one that is
        spelled like it, where there are two."""

        def fits(settings: WatchFolder) -> tuple[int, bool]:
            return len(settings.path.parts), path.is_relative_to(settings.path)

        holding = [f.settings for f in self._folders if is_within(path, f.settings.path)]
        return max(holding, key=fits, default=None)

    def settings_for(self, path: Path) -> WatchFolder:
        """Those of its watched folder. A file that stands elsewhere is treated as if it lay in the first one."""
        return self.folder_of(path) or self._folders[0].settings.model_copy(update={"path": path.parent})

    def is_left_out(self, path: Path, root: Path) -> bool:
        inside = [p for p in path.parents if is_within(p, root) and not is_within(root, p)]
        return any(compared(p) in self._left_out or why_not_enter(p) for p in inside)

    async def _follow(self, folder: _Folder) -> None:
        clock = asyncio.get_running_loop().time
        next_scan = 0.0  # begun again after trouble, it scans first, and so finds what it had not taken in
        while True:
            identity, problem = await in_own_thread(lambda: look_at_root(folder.settings.path), WATCHING)
            if identity != folder.identity or self._has_lost_its_watch(folder):
                await in_own_thread(partial(self._watch_anew, folder, identity), WATCHING)
                folder.identity = identity
                folder.scan_wanted = True
            self._tell(folder, problem)
            if identity and (folder.scan_wanted or clock() >= next_scan):
                await self._take_in_all(folder)
                next_scan = clock() + (folder.state.polling_seconds or self._rescan_seconds)
            if hints := folder.take_hints():
                await self._receiver.hinted(folder.settings, hints)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(ROOT_CHECK_SECONDS, folder.state.polling_seconds or ROOT_CHECK_SECONDS)):
                    await folder.wake.wait()
            folder.wake.clear()

    async def _take_in_all(self, folder: _Folder) -> None:
        folder.scan_wanted = False
        scan = await in_own_thread(lambda: self._scan(folder.settings), WATCHING)
        if scan is None:
            folder.identity = None
        else:
            await self._receiver.scanned(folder.settings, replace(scan, root=folder.identity))

    def _watch_anew(self, folder: _Folder, identity: tuple[int, int] | None) -> None:
        assert self._observer
        assert self._loop
        if folder.watch:
            # scheduling a root again is silently nothing as long as its dead watch is not taken away
            with suppress(KeyError, OSError):
                self._observer.unschedule(folder.watch)
            folder.watch = None
        folder.state.polling_seconds = polling_seconds(folder.settings)
        if identity is None or folder.state.polling_seconds:
            return
        # a root that is a link would not be followed
        root = os.path.realpath(folder.settings.path)
        try:
            folder.watch = self._observer.schedule(
                _Hints(folder, root, self._loop), root, recursive=folder.settings.recursive
            )
        except OSError as error:
            # such as the limit on inotify watches: looking at the folder often still finds everything
            log.warning("folder cannot be watched", folder=str(folder.settings.path), reason=str(error))
            folder.state.polling_seconds = NETWORK_POLL_SECONDS

    def _has_lost_its_watch(self, folder: _Folder) -> bool:
        """A root that was deleted and made again at once may have the old inode, and its watch is dead all the same."""
        assert self._observer
        return folder.watch is not None and not any(
            # a copy: another folder's watch may be made in a thread just now
            emitter.watch == folder.watch and emitter.is_alive()
            for emitter in self._observer.emitters.copy()
        )

    def _tell(self, folder: _Folder, problem: Problem | None) -> None:
        state = problem.state if problem else "polling" if folder.state.polling_seconds else "watching"
        reason = problem.reason if problem else None
        if (state, reason) != (folder.state.state, folder.state.reason) or not folder.told:
            folder.told = True
            folder.state.state, folder.state.reason = state, reason
            log.info("folder", folder=str(folder.settings.path), state=state, reason=reason)
            self._receiver.folders_changed()

    def _scan(self, settings: WatchFolder) -> Scan | None:
        """None when the root went away meanwhile."""
        found: list[Found] = []
        unread: set[Path] = set()
        pending = [settings.path]
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                if folder == settings.path:
                    return None
                log.warning("folder cannot be read", folder=str(folder), reason=error.strerror)
                unread.add(folder)
                continue
            if not entries and folder == settings.path:
                return Scan([], is_blank=True)
            for entry in entries:
                path = Path(entry.path)
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if settings.recursive and compared(path) not in self._left_out and not why_not_enter(path):
                            pending.append(path)
                        continue
                except OSError:
                    continue
                if why_not(path) is None and is_unicode(path) and (seen := look(path)):
                    found.append(Found(path, seen))
        return Scan(found, unread=frozenset(unread))

    def _all_overflowed(self) -> None:
        if self._loop:
            self._loop.call_soon_threadsafe(self.rescan)


class Problem(NamedTuple):
    state: Literal["missing", "unreadable"]
    reason: str


@dataclass
class _Folder:
    state: FolderState
    identity: tuple[int, int] | None = None
    watch: ObservedWatch | None = None
    hints: deque[Path] = field(default_factory=deque)
    """Filled in watchdog's thread."""
    scan_wanted: bool = True
    told: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def settings(self) -> WatchFolder:
        return self.state.settings

    def take_hints(self) -> set[Path]:
        return {self.hints.popleft() for _ in range(len(self.hints))}


class _Hints(FileSystemEventHandler):
    """Called in watchdog's thread. Ten thousand events wake the loop once."""

    def __init__(self, folder: _Folder, root: str, loop: asyncio.AbstractEventLoop) -> None:
        """`root` is the folder as the events name it."""
        self._folder = folder
        self._root = root
        self._loop = loop

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("opened", "closed_no_write"):
            return
        if event.is_directory:
            if event.event_type in ("moved", "created", "deleted"):
                self._folder.scan_wanted = True  # a folder moved in brings files of which there is no event
        else:
            self._hint(os.fsdecode(path) for path in (event.src_path, event.dest_path) if path)
        if not self._folder.wake.is_set():
            with suppress(RuntimeError):  # the loop may be closing
                self._loop.call_soon_threadsafe(self._folder.wake.set)

    def _hint(self, paths: Iterable[str]) -> None:
        for path in paths:
            if hint := as_scanned(path, self._root, self._folder.settings.path):
                self._folder.hints.append(hint)
            else:
                self._folder.scan_wanted = True


class _OverflowHandler(logging.Handler):
    """watchdog tells of lost events nowhere but in its log."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._overflowed = overflowed

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            self._overflowed()


def as_scanned(path: str, root: str, folder: Path) -> Path | None:
    """A path that an event names, as a scan of the folder names it. `root` is the folder as events should name it; None
    where they do not, as on a system that knows the folder by other accents or capitals than its settings."""
    return Path(f"{folder}{path.removeprefix(root)}") if path.startswith(root) else None


def is_unicode(path: Path) -> bool:
    """Names that are not valid Unicode can stand in no log, transcript or database."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def look_at_root(root: Path) -> tuple[tuple[int, int] | None, Problem | None]:
    """What tells this root from another one made at the same place, and what is wrong with it."""
    try:
        status = root.stat()
        if not root.is_dir():
            return None, Problem("missing", "a file stands where the folder should be")
        with os.scandir(root):
            pass
    except FileNotFoundError:
        return None, Problem("missing", "the folder is not there; it is watched as soon as it is")
    except OSError as error:
        return None, Problem("unreadable", f"{error.strerror}; it is watched as soon as it can be read")
    return (status.st_dev, status.st_ino), None


def polling_seconds(settings: WatchFolder) -> float | None:
    """None: the system tells of changes there."""
    if isinstance(settings.polling, float | int):
        return float(settings.polling)
    if settings.polling == "never" or not sys.platform.startswith("linux"):
        return None
    path = Path(os.path.realpath(settings.path))  # a link may lead to another drive
    partitions = [p for p in psutil.disk_partitions(all=True) if path.is_relative_to(p.mountpoint)]
    holding = max(partitions, key=lambda p: len(p.mountpoint), default=None)
    return NETWORK_POLL_SECONDS if holding and holding.fstype in NETWORK_FILE_SYSTEMS else None
