from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperGroup

from panotti_daemon.cli.main import app

COLUMNS = 80
BESIDE = 8
"""What is left free around a command's name and its summary."""


def groups(group: TyperGroup) -> Iterator[TyperGroup]:
    yield group
    for below in group.commands.values():
        if isinstance(below, TyperGroup):
            yield from groups(below)


def test_every_summary_fits_its_line() -> None:
    top = typer.main.get_command(app)
    assert isinstance(top, TyperGroup)
    cut = [
        f"{group.name} {name}"
        for group in groups(top)
        for name, command in group.commands.items()
        if command.get_short_help_str(COLUMNS - BESIDE - max(map(len, group.commands))).endswith("...")
    ]
    assert not cut
