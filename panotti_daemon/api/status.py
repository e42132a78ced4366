"""The daemon's status, built when somebody asks for it, and the news that it has changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Protocol

from panotti_daemon import __version__
from panotti_daemon.api.schemas import (
    Activity,
    BacklogStatus,
    EngineStatus,
    Failure,
    FolderStatus,
    Job,
    ModelDownload,
    PluginStatus,
    Queue,
    QueuedRecording,
    RecentTranscript,
    Status,
)
from panotti_daemon.api.waiting import held_up, pause_status
from panotti_daemon.clock import Clock, local
from panotti_daemon.core.events.bus import EventBus
from panotti_daemon.core.events.models import Announcement, Event
from panotti_daemon.core.events.types import TranscriptionProgress, payload_type
from panotti_daemon.core.plugins.lifecycle import PluginRecord
from panotti_daemon.core.plugins.manager import PluginManager
from panotti_daemon.engine.client import Engine
from panotti_daemon.engine.messages import Pace
from panotti_daemon.engine.models.manager import Download, Models
from panotti_daemon.intake.ledger import Ledger
from panotti_daemon.intake.requests import Requests
from panotti_daemon.intake.watcher import Watcher
from panotti_daemon.models.database import Database, queries, stamp
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.pausing.control import Pausing

SHORTEST_SECONDS_BETWEEN = 0.25
"""A storm of progress is told four times a second."""
RECENT = 5
LONGEST_TITLE = 28


class Estimate(Protocol):
    def __call__(self, audio_seconds: float) -> float: ...


class StatusBoard:
    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        bus: EventBus,
        watcher: Watcher,
        plugins: PluginManager,
        engine: Engine,
        models: Models,
        requests: Requests,
        pausing: Pausing,
        clock: Clock,
        estimate: Estimate,
        pid: int,
        log_file: Path,
        servers: Sequence[str],
        notices: Callable[[], list[str]],
    ) -> None:
        """Recordings are sent to `servers`; `notices` are sentences that stand among the problems as long as the daemon
        runs."""
        self._database = database
        self._ledger = ledger
        self._bus = bus
        self._watcher = watcher
        self._plugins = plugins
        self._engine = engine
        self._models = models
        self._requests = requests
        self._pausing = pausing
        self._clock = clock
        self._estimate = estimate
        self._pid = pid
        self._log_file = log_file
        self._servers = servers
        self._notices = notices
        self._started_at = clock.now()
        self._jobs: dict[str, Job] = {}
        self._version = 0
        self._changed = asyncio.Event()
        self._closing = False
        self.url = ""

    async def hear(self, message: Event | Announcement) -> None:
        """A listener of the bus."""
        if isinstance(message, Announcement) and payload_type(message.name) is TranscriptionProgress:
            progress = TranscriptionProgress.model_validate(message.data)
            if message.name.endswith(".stopped"):
                self._jobs.pop(progress.recording_id, None)
            else:
                self._jobs[progress.recording_id] = Job(**progress.model_dump())
        self.touch()

    def touch(self) -> None:
        """Something that the status shows has changed."""
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """Ends all streams."""
        self._closing = True
        self.touch()

    async def changes(self, keep_alive_seconds: float) -> AsyncIterator[Status | None]:
        """The status now and whenever it changes, until the daemon ends; None where nothing happened for long."""
        while not self._closing:
            seen = self._version
            yield await self.status()
            await asyncio.sleep(SHORTEST_SECONDS_BETWEEN)
            while self._version == seen and not self._closing:
                changed = self._changed
                with suppress(TimeoutError):
                    async with asyncio.timeout(keep_alive_seconds):
                        await changed.wait()
                if self._version == seen:
                    yield None

    async def status(self) -> Status:
        async with self._database.reading() as connection:
            counts = {row["state"]: row["files"] async for row in queries().count_by_state(connection)}
            failed = await self._ledger.select(connection, "failed_files", limit=RECENT)
            recent = [dict(row) async for row in queries().recent_transcripts(connection, limit=RECENT)]
            midnight = local(self._clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
            today = await queries().transcripts_since(connection, moment=stamp(midnight.astimezone(UTC)))
            queued = [
                QueuedRecording(**row)
                for subscriber in sorted(self._ledger.transcribers)
                async for row in queries().next_recordings(connection, subscriber=subscriber, limit=RECENT)
            ][:RECENT]
            missing = [row["error"] async for row in queries().what_is_missing(connection, limit=RECENT)]
        present = await asyncio.to_thread(_present, [row["path"] for row in recent if row["path"]])
        backlog = await self._requests.backlog()
        queue = Queue(
            growing=counts.get(FileState.GROWING, 0),
            ready=counts.get(FileState.READY, 0),
            waiting=counts.get(FileState.WAITING, 0),
            failed=counts.get(FileState.FAILED, 0),
        )
        problems = self._problems(queue, missing)
        jobs = list(self._jobs.values())
        activity = self._activity(jobs, queue, problems)
        return Status(
            version=__version__,
            activity=activity,
            summary=self._summary(activity, jobs, queue, problems, today),
            pid=self._pid,
            started_at=self._started_at,
            url=self.url,
            log_file=str(self._log_file),
            pause=pause_status(self._pausing.verdict),
            jobs=jobs,
            queue=queue,
            queued=queued,
            folders=self._folders(),
            plugins=self._plugin_states(),
            engine=EngineStatus(state=self._engine.state, model=self._engine.model, servers=tuple(self._servers)),
            downloads=[model_download(download) for download in self._models.downloads],
            backlog=[
                BacklogStatus(
                    folder=str(asked.folder),
                    files=asked.files,
                    audio_seconds=asked.audio_seconds,
                    estimated_seconds=self._estimate(asked.audio_seconds),
                )
                for asked in backlog
            ],
            recent=[
                RecentTranscript(
                    recording_id=row["recording_id"],
                    title=row["title"],
                    finished_at=row["created_at"],
                    path=row["path"] if row["path"] in present else None,
                )
                for row in recent
            ],
            failures=[Failure(recording_id=r.recording_id, path=str(r.path), reason=r.reason) for r in failed],
            problems=problems,
            announcements_dropped=self._bus.announcements_dropped,
        )

    def _folders(self) -> list[FolderStatus]:
        return [
            FolderStatus(
                path=str(folder.settings.path),
                output=str(folder.settings.output),
                state=folder.state,
                reason=folder.reason,
            )
            for folder in self._watcher.states
        ]

    def _plugin_states(self) -> list[PluginStatus]:
        return [plugin_status(record) for record in self._plugins.records.values()]

    def _problems(self, queue: Queue, missing: list[str]) -> list[str]:
        problems = [*self._notices(), *missing, *self._models.problems]
        problems += [folder.problem for folder in self._watcher.states if folder.problem]
        problems += [record.problem for record in self._plugins.records.values() if record.problem]
        if queue.failed:
            recordings = "1 recording" if queue.failed == 1 else f"{queue.failed} recordings"
            problems.append(f"{recordings} failed; `panotti recordings --state failed` says why")
        return problems

    def _activity(self, jobs: list[Job], queue: Queue, problems: list[str]) -> Activity:
        """What is held up by politeness alone is worth a word only if something waits."""
        is_asked = not self._pausing.verdict.spares_urgent
        if is_asked or (self._pausing.pace is Pace.HELD and (jobs or queue.ready)):
            return Activity.PAUSED
        if jobs:
            return Activity.WORKING
        return Activity.TROUBLE if problems else Activity.IDLE

    def _summary(self, activity: Activity, jobs: list[Job], queue: Queue, problems: list[str], today: int) -> str:
        waiting = f", {queue.ready} more to come" if queue.ready else ""
        match activity:
            case Activity.PAUSED:
                verdict = self._pausing.verdict
                return held_up(verdict.cause, self._clock.now()) + ("" if verdict.spares_urgent else waiting)
            case Activity.WORKING:
                job = jobs[0]
                title = job.title if len(job.title) <= LONGEST_TITLE else f"{job.title[:18]}…{job.title[-9:]}"
                slowly = ", slowly on battery" if self._pausing.pace is Pace.SLOW else ""
                left = f", about {_duration(job.seconds_left)} left" if job.seconds_left else ""
                return f"Transcribing {title}, {job.fraction:.0%}{slowly}{left}"
            case Activity.TROUBLE:
                return problems[0]
            case Activity.IDLE:
                transcripts = "1 transcript" if today == 1 else f"{today} transcripts"
                return f"Idle{waiting}. {transcripts} today"


def _present(paths: Iterable[str]) -> set[str]:
    """Call it in a thread: a drive that is away may take long to say so."""
    return {path for path in paths if os.path.exists(path)}  # noqa: PTH110 pathlib raises where it may not look


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def model_download(download: Download) -> ModelDownload:
    return ModelDownload(model=download.model, fraction=download.fraction, problem=download.problem)


def plugin_status(record: PluginRecord) -> PluginStatus:
    return PluginStatus(
        name=record.name,
        version=record.manifest.version if record.manifest else None,
        state=record.state.value,
        reason=record.reason,
        since=record.since,
        healthy=record.problem is None,
        problem=record.problem,
    )
