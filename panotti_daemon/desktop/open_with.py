"""“Transcribe with Panotti” in the menus of Linux's file managers: a desktop entry for audio and video, and its icon.

No URL scheme and no D-Bus activation: a web page, or any program in a sandbox, could then name files to be read.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from panotti_daemon.desktop.autostart.entries import Entry, Launch, State, remove, write_atomically
from panotti_daemon.desktop.autostart.quoting import (
    entry_command,
    entry_string,
    split_entry_command,
    startable,
    started,
)
from panotti_daemon.errors import AutostartFailed
from panotti_daemon.paths import bundled

TRANSCRIBE = ("desktop", "transcribe")
FILES = "%F"

ICON = "panotti"
ICON_FILES = {
    256: "panotti.png",
    128: "panotti-128.png",
    64: "panotti-64.png",
    48: "panotti-48.png",
    32: "panotti-32.png",
}

TOOL_SECONDS = 20.0

ENTRY = """\
[Desktop Entry]
Type=Application
Version=1.0
Name={name}
Comment=Writes down what is said in them, on this computer
Icon={icon}
TryExec={program}
Exec={command} {files}
MimeType={types};
Categories=AudioVideo;Audio;
NoDisplay=true
Terminal=false
StartupNotify=false
"""

MIME_TYPES = (
    *("audio/aac", "audio/ac3", "audio/AMR", "audio/AMR-WB", "audio/basic", "audio/flac", "audio/m4a", "audio/mp4"),
    *("audio/mpeg", "audio/ogg", "audio/opus", "audio/vnd.wave", "audio/wav", "audio/webm", "audio/x-aiff"),
    *("audio/x-caf", "audio/x-flac+ogg", "audio/x-m4b", "audio/x-matroska", "audio/x-ms-wma", "audio/x-opus+ogg"),
    *("audio/x-speex", "audio/x-speex+ogg", "audio/x-vorbis+ogg", "audio/x-wav", "audio/x-wavpack"),
    *("video/3gpp", "video/3gpp2", "video/mp2t", "video/mp4", "video/mpeg", "video/ogg", "video/quicktime"),
    *("video/vnd.avi", "video/webm", "video/x-flv", "video/x-m4v", "video/x-matroska", "video/x-ms-wmv"),
    *("video/x-msvideo", "video/x-ogm+ogg", "video/x-theora+ogg"),
)
"""As the shared MIME database of freedesktop.org names them: desktop entries know no wildcards."""


class OpenWith:
    """All of it can be done again and changes nothing then. `install` and `remove` may raise AutostartFailed."""

    def __init__(self, launch: Launch, environment: Mapping[str, str]) -> None:
        data = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local/share")
        self._launch = launch
        self._applications = data / "applications"
        self._icons = data / "icons" / "hicolor"
        self.entry = self._applications / f"{launch.name}.desktop"

    def status(self) -> Entry:
        """What the desktop would start now."""
        found = Entry("opened files", State.DISABLED, str(self.entry))
        try:
            text = self.entry.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return found
        command = next((line.partition("=")[2] for line in text.splitlines() if line.startswith("Exec=")), "")
        stale = self._launch.why_stale(started(split_entry_command(command)), *TRANSCRIBE)
        if not stale and _but_for_the_program(text) != _but_for_the_program(entry_text(self._launch)):
            stale = "it is not what this version of Panotti would install"
        return Entry(found.starts, State.STALE if stale else State.ENABLED, found.where, stale)

    def install(self) -> None:
        """Repairs what is stale. Whatever opens a file at a double click goes on doing so."""
        players = self._players()
        for size, name in ICON_FILES.items():
            write_atomically(self._icon(size), (bundled("resources") / "icons" / name).read_bytes())
        write_atomically(self.entry, entry_text(self._launch).encode())
        self._tell_desktop()
        displaced = {type_: player for type_, player in players.items() if _opens(type_) == self.entry.name}
        for player in sorted({*displaced.values()}):
            _run("xdg-mime", "default", player, *(type_ for type_, found in displaced.items() if found == player))

    def remove(self) -> None:
        """The icon stays as long as another home of Panotti's has it."""
        was_there = self.entry.exists()
        remove(self.entry)
        if not any(self._applications.glob("panotti*.desktop")):
            for size in ICON_FILES:
                remove(self._icon(size))
        if was_there:
            self._tell_desktop()

    def _players(self) -> dict[str, str]:
        """What opens which type at a double click, where it is another. An entry of the user's own, as ours is, goes
        before those of the system, unless that is said."""
        opens = {type_: _opens(type_) for type_ in MIME_TYPES}
        return {type_: player for type_, player in opens.items() if player not in ("", self.entry.name)}

    def _icon(self, size: int) -> Path:
        return self._icons / f"{size}x{size}" / "apps" / f"{ICON}.png"

    def _tell_desktop(self) -> None:
        """Who keeps a cache makes it anew: of entries by this program, of icons where the folder's time is newer."""
        with suppress(OSError):
            os.utime(self._icons)
        with suppress(AutostartFailed):  # desktops without it look for themselves
            _run("update-desktop-database", "-q", str(self._applications))


def _but_for_the_program(entry: str) -> list[str]:
    """The interpreter may be named in several ways."""
    return [line for line in entry.splitlines() if not line.startswith(("Exec=", "TryExec="))]


def _opens(type_: str) -> str:
    """The entry that opens files of a type; empty where there is none."""
    return _run("xdg-mime", "query", "default", type_).strip()


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        raise AutostartFailed(f"{command[0]} does not answer: install xdg-utils.") from None


def entry_text(launch: Launch) -> str:
    home = f" in {launch.home}" if launch.home else ""
    return ENTRY.format(
        name=entry_string(f"Transcribe with Panotti{home}"),
        icon=ICON,
        program=entry_string(launch.program),
        command=entry_command(startable(launch.command(*TRANSCRIBE))),
        files=FILES,
        types=";".join(MIME_TYPES),
    )
