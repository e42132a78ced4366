"""`panotti doctor`: what is wrong, and the one step that mends it; or all of that packed for a report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from panotti_daemon.cli.ask import JSON, print_json
from panotti_daemon.paths import Paths


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    as_json: bool = JSON,
    bundle: Path = typer.Option(None, "--bundle", help="Also pack it with log and settings into this new zip file."),
) -> None:
    """Check all that can be wrong; exit status 1 if something is."""
    import asyncio
    from datetime import UTC, datetime

    from panotti_daemon import logs
    from panotti_daemon.doctor import examine
    from panotti_daemon.doctor.bundle import pack
    from panotti_daemon.settings import LogSettings

    logs.configure(LogSettings(), None, terminal=False)  # left alone, structlog prints to stdout
    paths = Paths.from_environment()
    findings = asyncio.run(examine(paths, datetime.now(UTC)))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    for finding in findings if not as_json else []:
        typer.echo(f"{'✓' if finding.ok else '✗'} {finding.name}: {finding.message}")
        if finding.remedy:
            typer.echo(f"    {finding.remedy}")
    if bundle:
        pack(bundle, findings, paths)
        typer.echo(
            f"{bundle} holds these findings, your settings and the log, without names of files, texts and secrets. "
            "Look into it before you send it to anybody.",
            err=as_json,
        )
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
