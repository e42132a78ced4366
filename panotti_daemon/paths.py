"""Where Panotti keeps its own files. `PANOTTI_HOME` puts all of them, and the default folders, under one folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from panotti_daemon.errors import PanottiError


@dataclass(frozen=True)
class Paths:
    config: Path
    data: Path
    state: Path
    cache: Path
    runtime: Path
    recordings: Path
    """The folder that is watched when the settings name none."""
    transcripts: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Paths:
        home = environment.get("PANOTTI_HOME")
        if home:
            root = Path(home).expanduser().absolute()
            return cls(
                config=root / "config",
                data=root / "data",
                state=root / "state",
                cache=root / "cache",
                runtime=root / "run",
                recordings=root / "Recordings",
                transcripts=root / "Transcripts",
            )
        dirs = platformdirs.PlatformDirs("panotti", appauthor=False)
        return cls(
            config=dirs.user_config_path,
            data=dirs.user_data_path,
            state=dirs.user_state_path,
            cache=dirs.user_cache_path,
            # without a login session platformdirs would fall back to a folder in /tmp that anybody can make first
            runtime=dirs.user_runtime_path if _has_runtime_folder(environment) else dirs.user_state_path / "run",
            recordings=Path.home() / "Recordings",
            transcripts=Path.home() / "Transcripts",
        )

    @property
    def config_file(self) -> Path:
        return self.config / "config.yaml"

    @property
    def database(self) -> Path:
        return self.data / "panotti.db"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def plugins(self) -> Path:
        return self.data / "plugins"

    @property
    def plugin_settings(self) -> Path:
        """What `panotti plugins` switched on or off, or configured: a file for each plugin."""
        return self.config / "plugins.d"

    @property
    def chosen_model(self) -> Path:
        """What `panotti models use` set."""
        return self.config / "model.yaml"

    @property
    def at_work(self) -> Path:
        """Whose code runs, for the next process if this one ends without a word."""
        return self.state / "at-work"

    @property
    def log_file(self) -> Path:
        return self.state / "panotti.log"

    @property
    def lock_file(self) -> Path:
        """Held by the daemon as long as it lives."""
        return self.state / "daemon.lock"

    @property
    def tray_lock_file(self) -> Path:
        return self.state / "tray.lock"

    @property
    def runtime_file(self) -> Path:
        """Address and token of the running daemon, for its own tray and command line."""
        return self.runtime / "daemon.json"

    def create(self) -> None:
        """Makes Panotti's own folders, closed to other users of the machine. Raises PanottiError."""
        try:
            for folder in (self.config, self.data, self.state, self.cache, self.runtime):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise PanottiError(f"{error.filename} cannot be made: {error.strerror}.") from None


def _has_runtime_folder(environment: Mapping[str, str]) -> bool:
    return sys.platform in ("darwin", "win32") or "XDG_RUNTIME_DIR" in environment


def bundled(name: str) -> Path:
    """The top-level folder `plugins` or `resources`: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    in_wheel = package / "_bundled" / name
    return in_wheel if in_wheel.is_dir() else package.parent / name
