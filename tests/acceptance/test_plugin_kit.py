"""Plugins as their users install and remove them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.plugin_kit.placing import REPLACED
from panotti_daemon.plugin_kit.scaffold import new_plugin
from tests.daemon import Panotti

ROOT = Path(__file__).parents[2]


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """A plugin that somebody gives to others."""
    return new_plugin("talks", tmp_path / "given")


def test_a_plugin_is_shown_before_it_is_installed_and_not_without_a_yes(
    panotti: Callable[..., Panotti], talks: Path
) -> None:
    home = panotti()
    (talks / "plugin.yaml").write_text(
        (talks / "plugin.yaml")
        .read_text()
        .replace("Keeps", "\\e[2JKeeps")
        .replace("description: ", 'description: "')
        .replace("transcript.\n", 'transcript."\n')
    )
    refused = home.command("plugins", "install", talks)
    assert refused.returncode == 1
    for shown in (
        "talks 1.0.0: ?[2JKeeps",
        "transcription_local.completed",
        "talks.noted",
        "plugin.py (",
        "your rights",
    ):
        assert shown in refused.stdout
    assert list(home.paths.plugins.iterdir()) == []
    installed = home.command("plugins", "install", talks, "--yes")
    assert installed.stdout.endswith(f"installed in {home.paths.plugins / 'talks'}.\nIt runs once Panotti does.\n")
    again = home.command("plugins", "install", talks, "--yes")
    assert (again.returncode, again.stderr) == (
        1,
        f"Nothing was changed: talks is there already, in {home.paths.plugins / 'talks'}; --upgrade replaces it.\n",
    )
    assert home.command("plugins", "install", talks, "--yes", "--upgrade").returncode == 0
    checked = home.command("plugins", "check", "--no-tests")
    assert (checked.returncode, checked.stdout) == (0, "talks is fine.\n")


def test_a_running_daemon_takes_up_what_is_installed_and_lets_go_of_what_is_removed(
    panotti: Callable[..., Panotti], talks: Path
) -> None:
    with panotti() as daemon:
        assert daemon.command("plugins", "install", talks, "--yes").stdout.endswith("It runs.\n")
        assert "talks" in daemon.command("plugins", "list").stdout
        refused = daemon.command("plugins", "remove", "talks")
        assert refused.returncode == 1
        assert refused.stderr.endswith("and all that is in it?” Nobody is there to answer: say --yes.\n")
        assert daemon.command("plugins", "remove", "talks", "--yes").stdout == "talks is removed.\n"
        assert "talks" not in daemon.command("plugins", "list").stdout
        refused = daemon.command("plugins", "remove", "example", "--yes")
        assert refused.returncode == 1
        assert "use panotti plugins disable" in refused.stderr
        refused = daemon.command("plugins", "remove", talks, "--yes")
        assert refused.stderr == f"Nothing was changed: {talks} is not in the folder of your plugins.\n"


def test_a_plugin_whose_upgrade_was_killed_halfway_runs_again_at_the_next_start(
    panotti: Callable[..., Panotti], talks: Path
) -> None:
    home = panotti()
    home.paths.plugins.mkdir(parents=True)
    talks.rename(home.paths.plugins / f"{REPLACED}talks")
    with home as daemon:
        (found,) = [plugin for plugin in daemon.get("/plugins") if plugin["name"] == "talks"]
        assert found["state"] == "running"
    assert [path.name for path in home.paths.plugins.iterdir()] == ["talks"]


def test_a_mistake_ends_a_check_with_status_1_and_its_line(panotti: Callable[..., Panotti], talks: Path) -> None:
    code = (talks / "plugin.py").read_text()
    (talks / "plugin.py").write_text(code.replace("async def handle", "def handle"))
    checked = panotti().command("plugins", "check", talks)
    assert checked.returncode == 1
    assert checked.stdout == f"{talks / 'plugin.py'}:15: handle() must be `async def`\ntalks: 1 mistake.\n"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of an environment of its own, which sees this one's packages and has pip."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    [site] = folder.rglob("site-packages")
    site.joinpath("others.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def test_a_package_is_installed_beside_panotti_by_its_name(
    panotti: Callable[..., Panotti], environment: Path, talks: Path, tmp_path: Path
) -> None:
    info = "panotti_talks-1.0.0.dist-info"
    files = {f"talks/{name}": (talks / name).read_text() for name in ("plugin.yaml", "plugin.py")} | {
        "talks/__init__.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: panotti-talks\nVersion: 1.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[panotti.plugins]\ntalks = talks\n",
    }
    links = tmp_path / "links"
    links.mkdir()
    with zipfile.ZipFile(links / "panotti_talks-1.0.0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}
    home = panotti(python=str(environment), environment=offline)

    unknown = home.command("plugins", "install", "panotti-walks", "--yes")
    assert unknown.returncode == 1
    assert "pip download failed" in unknown.stderr
    refused = home.command("plugins", "install", "panotti-talks")
    assert "talks 1.0.0: Keeps" in refused.stdout
    assert home.command("plugins", "check", "talks").returncode == 1
    installed = home.command("plugins", "install", "panotti-talks", "--yes")
    assert f"installed in the environment {environment.parents[1]}" in installed.stdout, installed.stderr
    with home:
        assert "talks" in home.command("plugins", "list").stdout
    removed = home.command("plugins", "remove", "talks", "--yes")
    assert "use pip uninstall" in removed.stderr
