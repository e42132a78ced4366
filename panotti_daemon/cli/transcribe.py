"""`panotti transcribe FILE`: without a daemon, the text on stdout and nothing else there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon import __version__
from panotti_daemon.choices import Format
from panotti_daemon.errors import EngineError, MediaError, SourceUnavailable
from panotti_daemon.paths import Paths

if TYPE_CHECKING:
    from panotti_daemon.engine.client import Engine
    from panotti_daemon.engine.messages import Progress
    from panotti_daemon.models.transcript.models import RequestedSettings, Transcription
    from panotti_daemon.settings import EngineSettings


def register(app: typer.Typer) -> None:
    app.command()(transcribe)


def transcribe(
    files: list[Path] = typer.Argument(..., help="Any files with sound in them."),
    format: Format = typer.Option(Format.TXT, "--format", "-f"),
    language: str = typer.Option("auto", help="A code such as `en`."),
    model: str = typer.Option("auto", help="A name or a path."),
    translate: bool = typer.Option(False, "--translate", help="Into English."),
    words: bool = typer.Option(False, "--words", help="Give each word times of its own, as json and captions show."),
    vocabulary: list[str] = typer.Option([], "--vocabulary", help="A name or term that may be spoken. Any number."),
    noise_reduction: bool = typer.Option(False, "--noise-reduction", help="Filter noise out before."),
) -> None:
    """Transcribe files now and print the text. Needs no running daemon."""
    import asyncio

    from panotti_daemon import logs
    from panotti_daemon.models.transcript.models import RequestedSettings
    from panotti_daemon.settings import load
    from panotti_daemon.settings.models import language_code

    try:
        language_code(language)
        "".join((model, *vocabulary)).encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("--model and --vocabulary must be valid Unicode") from None
    except ValueError as error:
        raise typer.BadParameter(f"--language {error}") from None
    paths = Paths.from_environment()
    settings = load(paths)
    logs.configure(settings.log, None, terminal=False)  # left alone, structlog prints to stdout
    wish = RequestedSettings(
        language=language,
        model=settings.engine.model if model == "auto" else model,
        task="translate" if translate else "transcribe",
        words=words,
        vocabulary=tuple(vocabulary),
        noise_reduction=noise_reduction,
    )
    named = [Path(os.path.expanduser(file)).absolute() for file in files]  # noqa: PTH111 pathlib raises for nobody's ~
    if not asyncio.run(_transcribe(named, format, wish, paths, settings.engine)):
        raise typer.Exit(1)


async def _transcribe(
    files: list[Path], format: Format, wish: RequestedSettings, paths: Paths, settings: EngineSettings
) -> bool:
    """Whether all of them could be. A file that cannot is named on stderr, and holds up no other."""
    from panotti_daemon.engine.client import Engine

    all_were = True
    engine = Engine(models=paths.models, idle_seconds=60, workers=settings.workers, resources=settings)
    try:
        for file in files:
            try:
                text = _rendered(file, await _transcription(file, engine, wish), format, wish)
            except (MediaError, EngineError, SourceUnavailable) as error:
                typer.echo(f"{file} cannot be transcribed: {error.message}", err=True)
                all_were = False
            else:
                sys.stdout.write(text)
                sys.stdout.flush()
    finally:
        await engine.close()
    return all_were


async def _transcription(file: Path, engine: Engine, wish: RequestedSettings) -> Transcription:
    from panotti_daemon.engine.messages import ProbeKind, Track

    (probe,) = await engine.probe([file])
    if probe.kind is ProbeKind.VANISHED:
        raise MediaError("there is no such file")
    if probe.kind is not ProbeKind.MEDIA:
        raise MediaError(probe.message)
    with _progress_bar(file.name) as report:
        return await engine.transcribe([Track(path=file)], wish, on_progress=report)


def _rendered(file: Path, result: Transcription, format: Format, wish: RequestedSettings) -> str:
    """As the daemon would write it, for a recording that it does not know."""
    from panotti_daemon.intake.observe import hash_file
    from panotti_daemon.models.recording.models import Recording, Track
    from panotti_daemon.models.transcript.formats import Document, render
    from panotti_daemon.models.transcript.models import Transcript, TranscriptStatus

    status = file.stat()
    content = hash_file(file)
    shown = Path(os.fsencode(file).decode(errors="replace"))  # its name may be no Unicode, which JSON has to be
    track = Track(path=shown, content_hash=content, size=status.st_size, mtime_ns=status.st_mtime_ns)
    now = datetime.now(UTC)
    recording = Recording(
        id=content,
        content_id=content,
        title=shown.stem,
        tracks=(track,),
        folder=shown.parent,
        created_at=now,
    )
    transcript = Transcript(
        id=content,
        recording_id=content,
        content_id=content,
        title=shown.stem,
        settings=wish,
        status=TranscriptStatus.DONE,
        created_at=now,
        result=result.model_copy(update={"versions": {"panotti": __version__, **result.versions}}),
    )
    return render(format, Document.of(transcript, recording))


@contextmanager
def _progress_bar(name: str) -> Iterator[Callable[[Progress], None]]:
    """On stderr, and only on a terminal."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich import progress as bars
    from rich.console import Console
    from rich.markup import escape

    from panotti_daemon.engine.messages import Stage

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(name), total=1.0)

        def report(progress: Progress) -> None:
            if progress.stage is Stage.DOWNLOADING:
                bar.update(task, description=f"Downloading the model {progress.model}")
            bar.update(task, completed=progress.fraction or 0.0)

        yield report
