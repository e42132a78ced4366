"""`panotti forget PATH|ID`: says what would go, asks, and says what went."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from panotti_daemon.cli.ask import JSON, absolute, ask, confirm, counted, is_path, print_json, wished

if TYPE_CHECKING:
    from panotti_daemon.api.schemas import ForgetRequest, ForgottenRecording, ForgottenReport


ID = re.compile(r"[0-9a-f-]{8,36}")
"""Or a part of one: as many digits as lists show at least, for what is forgotten is gone."""


def register(app: typer.Typer) -> None:
    app.command()(forget)


def forget(
    what: str = typer.Argument(
        ..., metavar="PATH|ID", help="A recording, one of its transcripts, or its id, or how that begins or ends."
    ),
    outputs: bool = typer.Option(False, "--outputs", help="Delete its transcripts, too, but for those you edited."),
    revisions: bool = typer.Option(False, "--revisions", help="Forget what stood in the same file before or after."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would go."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = JSON,
) -> None:
    """Forget all that Panotti itself knows and wrote of a recording. Its file stays where it is."""
    from panotti_daemon.api.schemas import ForgetRequest

    wish = ForgetRequest(outputs=outputs, revisions=revisions, dry_run=True)
    if dry_run or not yes:
        report = _ask_for(what, wish)
        if dry_run and as_json:
            print_json(report)
            return
        for line in _lines(report, outputs=outputs, would=True):
            typer.echo(line, err=as_json)
        if dry_run:
            return
        if report.other_revisions:
            named = ", ".join(map(_named, report.other_revisions))
            wish.revisions = wished(f"Forget what stood in the same file, too: {named}?")
        confirm("Forget it? This cannot be undone.", yes=yes)
    report = _ask_for(what, wish.model_copy(update={"dry_run": False}))
    if as_json:
        print_json(report)
        return
    for line in _lines(report, outputs=outputs, would=False):
        typer.echo(line)


def _ask_for(what: str, wish: ForgetRequest) -> ForgottenReport:
    if ID.fullmatch(what) and not is_path(what):
        return ask(lambda client: client.forget_recording(what, wish))
    path = absolute(Path(what))
    return ask(lambda client: client.forget_file(path, wish))


def _lines(report: ForgottenReport, *, outputs: bool, would: bool) -> Iterator[str]:
    names = ", ".join(map(_named, report.recordings)) or "a file that is no recording"
    yield f"{'This would forget' if would else 'Forgotten:'} {names}"
    known = (
        counted(report.transcripts, "transcript"),
        counted(report.segments, "segment"),
        counted(report.events, "event"),
    )
    yield f"  {known[0]} with {known[1]}, {known[2]}"
    yield from (f"  {'deletes' if would else 'deleted'} {path}" for path in report.deleted_outputs)
    for output in report.kept_outputs:
        yield f"  leaves {output.path}: {_why_kept(output.condition, asked=outputs, would=would)}"
    yield from (f"  leaves {path}: the recording itself" for path in report.files)
    if not would:
        yield from (f"  still known: {_named(revision)}, {revision.id}" for revision in report.other_revisions)
    yield from (f"  not reached: {where}" for where in report.remains)


def _why_kept(condition: str, *, asked: bool, would: bool) -> str:
    match condition:
        case "edited":
            return "you have edited it"
        case "unreachable":
            return "its folder is not there; is its drive connected?"
    if asked:
        return "it could not be deleted"
    return "--outputs deletes it" if would else "a file like any other now"


def _named(recording: ForgottenRecording) -> str:
    return f"{recording.title} (revision {recording.revision})" if recording.revision > 1 else recording.title
