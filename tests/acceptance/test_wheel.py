"""The wheel, as people install it: everything is in it, and the main job runs from it alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from panotti_daemon.choices import FileState
from tests.daemon import Panotti
from tests.speech import librivox_sentences, word_error_rate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that has the wheel of its own, and the dependencies of this one."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = environment.rglob("site-packages")
    site.joinpath("dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def files_of(folder: str, *patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in (ROOT / folder).rglob(pattern)]
    return [path.relative_to(ROOT) for path in found if path.is_file() and "__pycache__" not in path.parts]


def test_everything_that_runs_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = files_of("panotti_daemon", "*.py", "*.sql", "py.typed")
    bundled = [
        Path("panotti_daemon/_bundled") / path for folder in ("plugins", "resources") for path in files_of(folder, "*")
    ]
    assert any(path.match("migrations/*.sql") for path in package)
    assert any(path.match("queries/*.sql") for path in package)
    assert any(path.match("icons/*.png") for path in bundled)
    assert any(path.match("samples/*.wav") for path in bundled)
    assert any(path.match("plugins/transcription_local/plugin.yaml") for path in bundled)
    assert not [path for path in (*package, *bundled) if path.as_posix() not in names]


def test_nothing_else_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith(("tests/", "docs/"))]
    assert {name.split("/")[0].split("-")[0] for name in names} == {"panotti_daemon"}


def test_the_main_job_runs_from_the_installed_wheel_alone(python: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    where = "import panotti_daemon, panotti_daemon.paths as p; print(panotti_daemon.__file__, p.bundled('plugins'))"
    found = subprocess.run([python, "-c", where], cwd=home, capture_output=True, text=True, check=True).stdout.split()
    assert [Path(path).is_relative_to(python.parents[1]) for path in found] == [True, True]
    sentence, words = next(iter(librivox_sentences().items()))
    with Panotti(home, {"engine": {"idle_seconds": 1}}, python=str(python)) as daemon:
        dropped = daemon.recordings / "sentence.wav"
        shutil.copy(sentence, dropped)
        daemon.wait_for(dropped, FileState.DONE)
        assert word_error_rate(words, (daemon.transcripts / "sentence.txt").read_text(encoding="utf-8")) <= 0.2
    script = python.with_name("panotti")
    told = subprocess.run([script, "--version"], cwd=home, capture_output=True, text=True, check=True).stdout
    assert told.startswith("panotti ")
