"""Shows the main job in a minute, in a throw-away home: drop a recording, watch, read its transcript."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from panotti_daemon.client import Client
from panotti_daemon.errors import NotRunning, PanottiError
from panotti_daemon.models.recording.models import FileState
from panotti_daemon.paths import Paths, bundled

SAMPLE = bundled("resources") / "samples" / "two-voices.wav"
START_SECONDS = 60
ENDED = (FileState.DONE, FileState.FAILED, FileState.NO_SPEECH, FileState.IGNORED)

console = Console()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="panotti-demo-") as home:
        os.environ["PANOTTI_HOME"] = home
        paths = Paths.from_environment()
        console.print("Starting Panotti in a throw-away home; your own files are not touched.")
        command = [sys.executable, "-m", "panotti_daemon", "run", "--no-tray", "--port", "0"]
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            return asyncio.run(show(paths, daemon))
        except PanottiError as error:
            console.print(f"{error.title}: {error.message}", style="red")
            return 1
        finally:
            daemon.terminate()
            daemon.wait()


async def show(paths: Paths, daemon: subprocess.Popen[bytes]) -> int:
    client = await connect(paths, daemon)
    dropped = paths.recordings / SAMPLE.name
    shutil.copy(SAMPLE, dropped)
    console.print(f"Dropped [bold]{dropped.name}[/], two voices, into {paths.recordings}")
    state = await follow(client, dropped)
    transcript = paths.transcripts / f"{dropped.stem}.txt"
    if state is not FileState.DONE or not transcript.exists():
        console.print((await client.explain(str(dropped))).reason, style="red")
        return 1
    console.print(Panel(transcript.read_text(encoding="utf-8").strip(), title=transcript.name))
    written = ", ".join(sorted(path.name for path in paths.transcripts.iterdir()))
    console.print(f"Written to {paths.transcripts}: {written}")
    console.print("The throw-away home is removed again now; `make run` starts Panotti on your own recordings.")
    return 0


async def connect(paths: Paths, daemon: subprocess.Popen[bytes]) -> Client:
    for _ in range(START_SECONDS * 10):
        if daemon.poll() is not None:
            raise NotRunning(f"The daemon ended with status {daemon.returncode}; see {paths.log_file}.")
        if paths.runtime_file.exists():
            return Client.from_paths(paths)
        await asyncio.sleep(0.1)
    raise NotRunning(f"The daemon did not start; see {paths.log_file}.")


async def follow(client: Client, dropped: Path) -> FileState:
    """Shows a bar until the file has come to its end."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    async with aclosing(client.statuses()) as statuses:
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("waiting until the file is whole", total=1.0)
            async for status in statuses:
                for job in status.jobs:
                    bar.update(task, description=f"transcribing {job.title}", completed=job.fraction)
                entry = await client.explain(str(dropped))
                if entry.recording_id and entry.state in ENDED:
                    bar.update(task, description=entry.state.value, completed=1.0)
                    return entry.state
    return FileState.FAILED


if __name__ == "__main__":
    sys.exit(main())
