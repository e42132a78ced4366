"""What `panotti run` does in a home that has never seen it: settings to look at, and a word about starting at login."""

from __future__ import annotations

from pathlib import Path

from panotti_daemon.paths import Paths, bundled


def welcome(paths: Paths) -> list[str]:
    """Writes a `config.yaml` in which all is commented out; what to say of it, once."""
    if paths.config_file.exists() or paths.database.exists():
        return []
    try:
        with paths.config_file.open("x", encoding="utf-8") as file:
            file.write(commented_settings(paths))
    except OSError as error:
        return [f"Your settings could not be written to {paths.config_file}: {error.strerror}."]
    return [
        f"Your settings are in {paths.config_file}; nothing in it needs to be changed.",
        "To start Panotti at every login: panotti autostart enable",
    ]


def commented_settings(paths: Paths) -> str:
    text = (bundled("resources") / "config.yaml").read_text(encoding="utf-8")
    for shown, path in (("~/Recordings", paths.recordings), ("~/Transcripts", paths.transcripts)):
        text = text.replace(shown, _for_people(path))
    return text


def _for_people(path: Path) -> str:
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
