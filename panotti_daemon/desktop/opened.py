"""Files that the user opened with Panotti, in a file manager: the daemon gets them, started where it does not run.

There is no terminal to say anything in: what became of them is told by a notification.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from panotti_daemon.choices import FileState
from panotti_daemon.client import Client
from panotti_daemon.desktop import detached
from panotti_daemon.desktop.autostart import Launch, State, autostart_here
from panotti_daemon.desktop.opening import Opener, transcript_of
from panotti_daemon.errors import NotRunning, PanottiError
from panotti_daemon.paths import Paths, bundled
from panotti_daemon.settings import load

START_SECONDS = 60.0
KNOWN_SECONDS = 20.0
"""How long it is waited for what a file is; one that is still being written is told of when it is transcribed."""
LOOK_SECONDS = 0.25
NAMES_SHOWN = 3


@dataclass
class Opened:
    """What became of the files."""

    taken: list[str] = field(default_factory=list)
    transcribed: list[Path] = field(default_factory=list)
    """Transcripts that were there already."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why, by name."""

    @property
    def words(self) -> tuple[str, str] | None:
        """Title and message; None: there is nothing to tell."""
        if self.refused:
            name, reason = next(iter(self.refused.items()))
            if len(self.refused) == 1:
                return f"{name} cannot be transcribed", reason
            lines = [f"{name}: {reason}" for name, reason in self.refused.items()]
            return f"{len(lines)} files cannot be transcribed", _listed(lines)
        if not self.taken:
            return None
        if len(self.taken) == 1:
            return f"Transcribing {self.taken[0]}", "A notification tells when its transcript is there."
        return f"Transcribing {len(self.taken)} files", _listed(self.taken)


async def transcribe(paths: Paths, files: Sequence[str]) -> Opened:
    """Has the daemon transcribe these files before all others. Raises NotRunning or SettingsError where it does not
    start."""
    daemon = await _daemon(paths)
    opened = Opened()
    waiting = [file for file in files if await _is_accepted(daemon, file, opened)]
    with suppress(TimeoutError):
        async with asyncio.timeout(KNOWN_SECONDS), aclosing(daemon.statuses()) as statuses:
            async for _ in statuses:
                waiting = [file for file in waiting if not await _is_known(daemon, file, opened)]
                if not waiting:
                    break
    opened.taken += [Path(file).name for file in waiting]
    return opened


async def show(opened: Opened) -> None:
    """One transcript that was there already is opened, and of several their folder. Raises PanottiError."""
    if opened.transcribed:
        first = opened.transcribed[0]
        try:
            await Opener().open(first if len(opened.transcribed) == 1 else first.parent)
        except OSError as error:
            raise PanottiError(f"{first} cannot be opened: {error.strerror}.") from error
    if opened.words:
        await tell(*opened.words)


async def tell(title: str, message: str) -> None:
    """By a notification, where there is somebody to show it."""
    from desktop_notifier import DesktopNotifier, Icon, Urgency

    logging.getLogger("desktop_notifier").addHandler(logging.NullHandler())  # or else it prints why nobody shows it
    icon = Icon(path=bundled("resources") / "icons" / "panotti.png")
    await DesktopNotifier("Panotti", icon).send(title, message, urgency=Urgency.Low)


async def _is_accepted(daemon: Client, file: str, opened: Opened) -> bool:
    name = os.fsencode(Path(file).name).decode(errors="replace")
    try:
        if name != Path(file).name:
            raise PanottiError("its name is not valid Unicode: rename it")
        await daemon.transcribe_file_now(file)
    except PanottiError as error:
        opened.refused[name] = error.message
        return False
    return True


async def _is_known(daemon: Client, file: str, opened: Opened) -> bool:
    """Whether it is decided what becomes of a file; that is noted."""
    entry, name = await daemon.explain(file), Path(file).name
    match entry.state:
        case FileState.GROWING:
            return False
        case FileState.IGNORED | FileState.FAILED | FileState.NO_SPEECH:
            opened.refused[name] = entry.reason
        case FileState.DONE | FileState.DUPLICATE:
            if transcript := await transcript_of(daemon, entry):
                opened.transcribed.append(transcript)
            elif entry.state is FileState.DONE:
                opened.refused[name] = "it was transcribed before, and its transcript is gone"
            else:
                opened.taken.append(name)  # the one that it is a copy of is under way
        case _:
            opened.taken.append(name)
    return True


async def _daemon(paths: Paths) -> Client:
    """Raises NotRunning, SettingsError."""
    loop = asyncio.get_running_loop()
    end = loop.time() + START_SECONDS
    is_started = False
    while True:
        try:
            daemon = Client.from_paths(paths)
            await daemon.status()
        except NotRunning:
            if loop.time() > end:
                raise NotRunning("It did not start. `panotti run` in a terminal says why.") from None
            if not is_started:
                load(paths)  # with settings that cannot be used, it would not start
                await asyncio.to_thread(_start)
                is_started = True
            await asyncio.sleep(LOOK_SECONDS)
        else:
            return daemon


def _start() -> None:
    """As the login does it, where it does."""
    here = autostart_here()
    if here.status().state is State.ENABLED:
        here.start()
    else:
        detached.start(Launch.of_this_installation(os.environ).command("run"))


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - NAMES_SHOWN} more"] if len(lines) > NAMES_SHOWN else []
    return "\n".join([*lines[:NAMES_SHOWN], *more])
