"""Does what the entries of the tray's menu say: asks the daemon through its API, or the desktop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from panotti_daemon import __version__
from panotti_daemon.client import Client
from panotti_daemon.clock import local
from panotti_daemon.desktop import clipboard
from panotti_daemon.desktop.autostart import State, autostart_here
from panotti_daemon.desktop.menu import Action, MenuEntry, tomorrow_morning
from panotti_daemon.desktop.opening import Opener
from panotti_daemon.errors import NotRunning, PanottiError
from panotti_daemon.paths import Paths

DOCTOR_SECONDS = 60.0


class Actions:
    def __init__(
        self,
        paths: Paths,
        *,
        tell: Callable[[str], object],
        close: Callable[[], object],
        login_changed: Callable[[], object],
        models_changed: Callable[[], object],
    ) -> None:
        """`tell` shows a message to the user; `close` ends the tray."""
        self._paths = paths
        self._tell = tell
        self._close = close
        self._login_changed = login_changed
        self._models_changed = models_changed
        self._opener = Opener()

    async def perform(self, entry: MenuEntry) -> None:
        """Whatever goes wrong is told to the user."""
        try:
            await self._perform(entry)
        except PanottiError as error:
            self._tell(f"{error.title}: {error}")
        except OSError as error:
            self._tell(f"“{entry.label}” failed: {error.strerror}")

    async def _perform(self, entry: MenuEntry) -> None:
        match entry.action:
            case Action.OPEN if entry.target is not None:
                await self._opener.open(Path(entry.target))
            case Action.SHOW_IN_FOLDER if entry.target is not None:
                await self._opener.show_in_folder(Path(entry.target))
            case Action.START_AT_LOGIN | Action.START_AT_LOGIN_NO_MORE:
                here = autostart_here()
                is_wished = entry.action is Action.START_AT_LOGIN
                await asyncio.to_thread(here.enable if is_wished else here.disable)
                self._login_changed()
            case Action.CHECK_HEALTH:
                self._tell(await asyncio.to_thread(health))
            case Action.ABOUT:
                self._tell(f"Panotti {__version__}: transcribes your recordings on this computer, and nowhere else.")
            case Action.CLOSE:
                self._close()
            case Action.QUIT:
                with contextlib.suppress(NotRunning):
                    await self._ask(entry)
                self._close()
            case Action():
                await self._ask(entry)

    async def _ask(self, entry: MenuEntry) -> None:
        target = entry.target or ""
        now = local(datetime.now(UTC))
        daemon = Client.from_paths(self._paths)
        match entry.action:
            case Action.ACCEPT_BACKLOG:
                await daemon.decide_backlog(accept=True)
            case Action.TRANSCRIBE_NEXT:
                await daemon.transcribe_recording_now(target)
            case Action.CANCEL:
                await daemon.cancel_recording(target)
            case Action.COPY_TEXT:
                await asyncio.to_thread(clipboard.copy, await daemon.transcript(target))
            case Action.RETRY:
                await daemon.retry_file(target)
            case Action.RETRY_FAILED:
                await daemon.retry_failed()
            case Action.PAUSE_FOR_AN_HOUR:
                await daemon.pause(now + timedelta(hours=1))
            case Action.PAUSE_UNTIL_TOMORROW:
                await daemon.pause(tomorrow_morning(now))
            case Action.PAUSE:
                await daemon.pause()
            case Action.RESUME:
                await daemon.resume()
            case Action.ENABLE_PLUGIN:
                await daemon.enable_plugin(target)
            case Action.DISABLE_PLUGIN:
                await daemon.disable_plugin(target)
            case Action.USE_MODEL:
                await daemon.use_model(target)
                self._models_changed()
            case Action.PULL_MODEL:
                await daemon.pull_model(target)
            case Action.CANCEL_PULL:
                await daemon.cancel_pull(target)
            case Action.QUIT:
                await daemon.shutdown()


def starts_at_login() -> bool | None:
    """None where the system does not tell."""
    try:
        return autostart_here().status().state is State.ENABLED
    except (PanottiError, OSError):
        return None


def health() -> str:
    """What `panotti doctor` finds, in a few words."""
    command = [sys.executable, "-P", "-X", "utf8", "-m", "panotti_daemon", "doctor", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DOCTOR_SECONDS, check=False)
        findings = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return "The check could not be made. `panotti doctor` in a terminal says why."
    wrong = [finding for finding in findings if not finding["ok"]]
    if not wrong:
        return f"All is well: {len(findings)} checks passed."
    sentences = [f"{finding['name']}: {finding['message']}" for finding in wrong]
    return "\n".join([*sentences, "`panotti doctor` in a terminal tells more."])
