"""“Transcribe with Panotti” as a desktop finds it, with the desktop's own tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.desktop.autostart.quoting import split_entry_command
from panotti_daemon.desktop.open_with import MIME_TYPES
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.desktop.desktop import Desktop
from tests.opener import noting_opener
from tests.speech import SAMPLE, librivox_sentences

TOOLS = ("desktop-file-validate", "update-desktop-database", "xdg-mime", "gio")
if sys.platform != "linux":
    pytest.skip("file managers of other systems cannot be had here", allow_module_level=True)
if any(shutil.which(tool) is None for tool in TOOLS):
    pytest.skip(f"needs {', '.join(TOOLS)}: apt-get install desktop-file-utils xdg-utils libglib2.0-bin")

ODD = "Ü %h $HOME 'it' \"q\" b\\n"

PLAYER = """\
[Desktop Entry]
Type=Application
Name=Player
Exec=true %F
MimeType=audio/mpeg;video/mp4;
"""


@pytest.fixture
def user(panotti: Callable[..., Panotti], tmp_path: Path) -> Panotti:
    """Somebody with a home folder of their own, and a player that the system brought."""
    system = tmp_path / "system"
    (system / "applications").mkdir(parents=True)
    (system / "applications" / "player.desktop").write_text(PLAYER)
    subprocess.run(["update-desktop-database", system / "applications"], check=True)
    home = tmp_path / "user"
    home.mkdir()
    environment = {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_DIRS": f"{system}:/usr/share",
    }
    return panotti(environment=environment)


def entries(user: Panotti) -> list[Path]:
    return sorted(Path(user.environment["XDG_DATA_HOME"], "applications").glob("*.desktop"))


def icons(user: Panotti) -> list[Path]:
    return sorted(Path(user.environment["XDG_DATA_HOME"], "icons").rglob("*.png"))


def said(user: Panotti, *arguments: str | Path) -> str:
    done = user.command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def state(user: Panotti) -> str:
    return str(json.loads(said(user, "desktop", "status", "--json"))["state"])


def asked(user: Panotti, *command: str) -> str:
    return subprocess.run(command, env=user.environment, capture_output=True, text=True, check=True).stdout


def test_it_is_offered_for_audio_and_video_and_the_player_stays_what_opens_them(user: Panotti) -> None:
    assert state(user) == "disabled"
    for _ in range(2):
        said(user, "desktop", "install")
        (entry,) = entries(user)
        for type_ in MIME_TYPES:
            assert entry.name in asked(user, "gio", "mime", type_)
        for type_ in ("audio/mpeg", "video/mp4"):
            assert asked(user, "xdg-mime", "query", "default", type_).strip() == "player.desktop"
        assert state(user) == "enabled"
    assert asked(user, "desktop-file-validate", str(entry)) == ""
    assert len(icons(user)) == 5


def test_it_is_taken_out_without_a_trace_and_as_often_as_one_likes(user: Panotti) -> None:
    said(user, "desktop", "install")
    for _ in range(2):
        said(user, "desktop", "remove")
        assert (entries(user), icons(user), state(user)) == ([], [], "disabled")
        assert "panotti" not in asked(user, "gio", "mime", "audio/mpeg")


def test_an_entry_that_starts_another_panotti_is_stale_until_it_is_installed_again(user: Panotti) -> None:
    said(user, "desktop", "install")
    (entry,) = entries(user)
    entry.write_text(entry.read_text().replace(sys.executable, "/opt/old/bin/python"))
    assert state(user) == "stale"
    assert "/opt/old/bin/python, which is gone" in said(user, "desktop", "status")
    (finding,) = [f for f in json.loads(user.command("doctor", "--json").stdout) if f["name"] == "open with"]
    assert (finding["ok"], finding["remedy"]) == (False, "panotti desktop install")
    assert "which is gone" in finding["message"]
    said(user, "desktop", "install")
    assert state(user) == "enabled"


def test_an_entry_of_another_version_is_stale_and_one_that_names_the_same_program_otherwise_is_not(
    user: Panotti,
) -> None:
    said(user, "desktop", "install")
    (entry,) = entries(user)
    installed = entry.read_text()
    entry.write_text(installed.replace("audio/flac;", ""))
    assert state(user) == "stale"
    other_name = Path(sys.executable).with_name("python3" if Path(sys.executable).name != "python3" else "python")
    entry.write_text(installed.replace(f"{sys.executable} ", f"{other_name} "))
    assert state(user) == "enabled"


def test_each_home_has_an_entry_of_its_own_and_they_share_the_icon(user: Panotti, tmp_path: Path) -> None:
    said(user, "desktop", "install")
    said(user, "--home", tmp_path / ODD, "desktop", "install")
    assert len(entries(user)) == 2
    for entry in entries(user):
        assert asked(user, "desktop-file-validate", str(entry)) == ""
    odd = next(entry for entry in entries(user) if ODD in "".join(command_of(entry)))
    assert command_of(odd)[-4:] == [str(tmp_path / ODD), "desktop", "transcribe", "%F"]
    said(user, "desktop", "remove")
    assert entries(user) == [odd]
    assert len(icons(user)) == 5


def command_of(entry: Path) -> list[str]:
    (command,) = (line.partition("=")[2] for line in entry.read_text().splitlines() if line.startswith("Exec="))
    return split_entry_command(command)


def test_opened_files_are_transcribed_also_if_panotti_has_to_be_started(
    user: Panotti, desktop: Desktop, tmp_path: Path
) -> None:
    user.configure({"api": {"port": 0}, "tray": {"enabled": False}})
    user.environment |= {
        name: value for name, value in desktop.environment.items() if name.startswith(("DISPLAY", "DBUS"))
    }
    programs, opened = noting_opener(tmp_path)
    user.environment["PATH"] = f"{programs}:{user.environment['PATH']}"
    said(user, "desktop", "install")
    (entry,) = entries(user)
    files = [Path(shutil.copy(path, tmp_path / f"{number} “é”.wav")) for number, path in enumerate(recordings())]
    try:
        asked(user, "gio", "launch", str(entry), *map(str, files))
        wait_until(user.paths.runtime_file.exists, "it was started")
        for file in files:
            user.wait_for(file, FileState.DONE)
        assert len(user.outputs()) == 3 * len(files)
        assert said(user, "desktop", "transcribe", files[0]) == ""
        wait_until(opened.exists, "the transcript that is there already was opened")
        assert opened.read_text() == str(user.transcripts / f"{files[0].stem}.txt")
    finally:
        said(user, "stop")


def recordings() -> list[Path]:
    return list(librivox_sentences())[:2]


def test_what_becomes_of_opened_files_is_said_and_told_by_a_notification(
    panotti: Callable[..., Panotti], desktop: Desktop, tmp_path: Path
) -> None:
    notes, good, silent = tmp_path / "notes.txt", tmp_path / "talk.wav", tmp_path / "gone.wav"
    notes.write_text("not a recording")
    shutil.copy(SAMPLE, good)
    with panotti(environment=desktop.environment) as daemon:
        assert "Transcribing talk.wav" in said(daemon, "desktop", "transcribe", good)
        wait_until(lambda: "Transcribing talk.wav" in shown(desktop), "it was told")
        refused = daemon.command("desktop", "transcribe", str(notes), str(silent))
        assert refused.returncode == 1
        assert refused.stdout.splitlines()[0] == "2 files cannot be transcribed"
        assert "notes.txt: not a media file" in refused.stdout
        assert "gone.wav: there is no such file" in refused.stdout
        wait_until(lambda: "2 files cannot be transcribed" in shown(desktop), "it was told")
        daemon.wait_for(good, FileState.DONE)


def shown(desktop: Desktop) -> str:
    """What the notification server has shown."""
    return desktop.run("dunstctl", "history") + desktop.run("dunstctl", "count")
