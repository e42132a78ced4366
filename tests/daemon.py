"""The real daemon as a process of its own, used from outside as a user would."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import psutil
import yaml

from panotti_daemon.api.schemas import LedgerEntry, RecordingDetail, RuntimeInfo, Status
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.paths import Paths

T = TypeVar("T")

FINAL = frozenset(
    {
        FileState.DONE,
        FileState.NO_SPEECH,
        FileState.DUPLICATE,
        FileState.IGNORED,
        FileState.FAILED,
        FileState.CANCELLED,
    }
)
PATIENCE = 90.0
"""Seconds, for a busy machine: how long a wait may take before the test fails. Never how long something must take."""


def wait_until(condition: Callable[[], T | None], what: str = "", seconds: float = PATIENCE) -> T:
    """Polls until the condition gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"never happened: {what or condition}")
        time.sleep(0.05)


class Panotti:
    """A home, and the daemon that may run in it."""

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        tray: bool = False,
    ) -> None:
        self.home = home
        self.python = python
        self.environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("PANOTTI_", "DBUS_", "XDG_", "ORT_"))
            },
            "HF_HUB_OFFLINE": "1",
            **(environment or {}),
            "PANOTTI_HOME": str(home),
        }
        if environment is None:
            self.environment.pop("DISPLAY", None)
        self.paths = Paths.from_environment(self.environment)
        self.recordings = self.paths.recordings
        self.transcripts = self.paths.transcripts
        self.process: subprocess.Popen[str] | None = None
        self.output = home.parent / f"{home.name}.out"
        self._tray = tray
        self._spawned: list[subprocess.Popen[bytes]] = []
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Writes config.yaml; takes effect at the next start."""
        self.paths.config.mkdir(parents=True, exist_ok=True)
        self.paths.config_file.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")

    def start(self) -> Self:
        self.paths.runtime_file.unlink(missing_ok=True)
        command = [self.python, "-m", "panotti_daemon", "run", "--port", "0", "-v"]
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                command if self._tray else [*command, "--no-tray"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                cwd=self.home,
            )
        wait_until(self._is_ready, "the daemon is ready")
        return self

    def _is_ready(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended: {self.output.read_text(errors='replace')[-3000:]}")
        if not self.paths.runtime_file.exists():
            return False
        try:
            return self.request("GET", "/health/ready").status_code == 200
        except (httpx2.TransportError, ValueError):
            return False

    def stop(self) -> None:
        """As SIGTERM does it. Nothing that it started may outlive it, but for the tray icon."""
        if self.process and self.process.poll() is None:
            children = [
                c for c in psutil.Process(self.process.pid).children(recursive=True) if c.pid not in self.trays()
            ]
            self.process.terminate()
            self.process.wait(timeout=30)
            psutil.wait_procs(children, timeout=10)
            assert not [child for child in children if child.is_running() and child.status() != "zombie"]
        self.process = None

    def kill(self) -> None:
        """As a crash or a power cut would."""
        assert self.process
        children = [c for c in psutil.Process(self.process.pid).children(recursive=True) if c.pid not in self.trays()]
        self.process.kill()
        self.process.wait()
        self.process = None
        psutil.wait_procs(children, timeout=10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process and self.process.poll() is None and kind is None:
            self.stop()
        elif self.process and self.process.poll() is None:
            self.kill()

    def trays(self) -> list[int]:
        """The processes of this home's tray icon."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "status"]):
            if (process.info["cmdline"] or [])[-3:] == ["-m", "panotti_daemon", "tray"]:
                with suppress(psutil.Error):
                    if process.environ().get("PANOTTI_HOME") == str(self.home):
                        found.append(process.pid)
        return found

    @property
    def runtime(self) -> RuntimeInfo:
        return RuntimeInfo.model_validate_json(self.paths.runtime_file.read_bytes())

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        runtime = self.runtime
        headers = {"Authorization": f"Bearer {runtime.token}", **options.pop("headers", {})}
        # Nothing here is encrypted, and reading the certificates would cost more than all the rest of a request.
        with httpx2.Client(trust_env=False, verify=False, timeout=30) as client:
            return client.request(method, f"{runtime.url}/api/v1{path}", headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        response = self.request("GET", path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        response = self.request("POST", path, json=body)
        assert response.is_success, response.text
        return response.json()

    def status(self) -> Status:
        return Status.model_validate(self.get("/status"))

    def explain(self, path: Path) -> LedgerEntry:
        return LedgerEntry.model_validate(self.get("/ledger/explain", params={"path": str(path)}))

    def ledger(self, state: FileState | None = None) -> list[LedgerEntry]:
        query = {"limit": 1000, **({"state": state.value} if state else {})}
        return [LedgerEntry.model_validate(entry) for entry in self.get("/ledger", params=query)["items"]]

    def recording(self, recording_id: str) -> RecordingDetail:
        return RecordingDetail.model_validate(self.get(f"/recordings/{recording_id}"))

    def wait_for(self, path: Path, *states: FileState, seconds: float = PATIENCE) -> LedgerEntry:
        """Until the file is in one of the states, or without any named, in a final one."""
        wanted = states or tuple(FINAL)

        def reached() -> LedgerEntry | None:
            entry = self.explain(path)
            if entry.state is FileState.IGNORED:  # as is said of what was not seen yet, too
                if not self._is_listed(path):
                    return None
                entry = self.explain(path)
            return entry if entry.state in wanted else None

        try:
            return wait_until(reached, f"{path.name} becomes {' or '.join(sorted(wanted))}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.explain(path)}\n{self.log()[-3000:]}") from None

    def _is_listed(self, path: Path) -> bool:
        return any(entry.path == str(path) for entry in self.ledger())

    def command(self, *arguments: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
        """`panotti ARGUMENTS` in this home; `typed` is what comes from stdin."""
        return subprocess.run(
            [self.python, "-m", "panotti_daemon", *map(str, arguments)],
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def spawn(self, *arguments: str) -> None:
        """`panotti ARGUMENTS`, left to run by itself until `reap`."""
        process = subprocess.Popen(
            [self.python, "-m", "panotti_daemon", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._spawned.append(process)

    def reap(self) -> None:
        """Waits until what was spawned has ended."""
        for process in self._spawned:
            process.wait(timeout=30)

    def log(self) -> str:
        return self.paths.log_file.read_text(encoding="utf-8") if self.paths.log_file.exists() else ""

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines()]

    def outputs(self) -> set[str]:
        """The names below the transcripts folder."""
        return {str(path.relative_to(self.transcripts)) for path in self.transcripts.rglob("*") if path.is_file()}

    def events(self, name: str) -> list[dict[str, Any]]:
        """The stored events of a name, the oldest first; looked up beside the daemon, which may be running."""
        connection = sqlite3.connect(f"{self.paths.database.as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT data FROM events WHERE name = ? ORDER BY sequence", (name,)).fetchall()
        finally:
            connection.close()
        return [json.loads(row[0]) for row in rows]
