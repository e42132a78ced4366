from __future__ import annotations

import plistlib
import re
from pathlib import Path

import typer

from panotti_daemon.cli.main import app

PACKAGING = Path(__file__).parents[2] / "packaging"


def test_the_bundle_opens_recordings_and_is_never_the_first_to() -> None:
    declared = plistlib.loads((PACKAGING / "macos" / "document-types.plist").read_bytes())
    (recordings,) = declared["CFBundleDocumentTypes"]
    assert set(recordings["LSItemContentTypes"]) == {"public.audio", "public.movie"}
    assert (recordings["CFBundleTypeRole"], recordings["LSHandlerRank"]) == ("Viewer", "Alternate")
    assert "CFBundleURLTypes" not in declared


def test_explorers_menu_starts_a_command_that_is_there() -> None:
    script = (PACKAGING / "windows" / "open-with.ps1").read_text(encoding="utf-8")
    (words,) = re.findall(r"-m panotti_daemon (.+?) `\"%1`\"", script)
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]  # type: ignore[attr-defined]
    assert [parameter.name for parameter in command.params if parameter.required] == ["files"]
