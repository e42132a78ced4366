from __future__ import annotations

import errno
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from panotti_daemon.errors import ManifestError, PluginRefused
from panotti_daemon.plugin_kit import unpacking
from panotti_daemon.plugin_kit.placing import place, recover, remove, staging
from panotti_daemon.plugin_kit.sources import opened
from tests.unit.plugin_kit.plugins import plugin

MANIFEST = "name: tried\nversion: 1.0.0\napi_version: 1\ndescription: A test.\n"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """Where they are installed."""
    return tmp_path / "installed"


def archive(path: Path, files: Mapping[str, str]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return str(path)


def install(source: str, plugins: Path, *, upgrade: bool = False) -> Path:
    with opened(source, plugins) as offer:
        return Path(offer.install(plugins, upgrade=upgrade))


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_installed_under_the_name_of_its_manifest_without_what_nobody_needs(
    tmp_path: Path, plugins: Path
) -> None:
    folder = plugin(tmp_path).rename(tmp_path / "tried-main")
    for name in (".git/config", "__pycache__/plugin.pyc", "words/en.txt"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("")
    with opened(str(folder), plugins) as offer:
        assert offer.manifest.name == "tried"
        assert list(offer.files) == ["plugin.py", "plugin.yaml", "words/en.txt"]
        assert tree(plugins / "tried") == []
        offer.install(plugins, upgrade=False)
    assert tree(plugins) == ["tried/plugin.py", "tried/plugin.yaml", "tried/words/en.txt"]
    assert [path.name for path in plugins.iterdir()] == ["tried"]


@pytest.mark.parametrize("top", ["", "tried-main/"], ids=["at the top", "in a folder"])
def test_a_zip_is_installed(tmp_path: Path, plugins: Path, top: str) -> None:
    files = {f"{top}plugin.yaml": MANIFEST, f"{top}plugin.py": "", f"{top}words/en.txt": "", "__MACOSX/x": ""}
    assert install(archive(tmp_path / "tried.zip", files), plugins) == plugins / "tried"
    assert tree(plugins) == ["tried/plugin.py", "tried/plugin.yaml", "tried/words/en.txt"]


def test_what_is_looked_at_and_not_wanted_leaves_nothing(tmp_path: Path, plugins: Path) -> None:
    with opened(str(plugin(tmp_path)), plugins):
        pass
    assert not list(plugins.iterdir())


@pytest.mark.parametrize(
    "name", ["../evil.py", "/evil.py", "a/../../evil.py", "..\\evil.py", "C:/evil.py", "C:evil.py"]
)
def test_a_zip_that_reaches_out_of_its_folder_is_refused(tmp_path: Path, plugins: Path, name: str) -> None:
    source = archive(tmp_path / "evil.zip", {"plugin.yaml": MANIFEST, name: "evil"})
    with pytest.raises(PluginRefused, match="outside its own folder"):
        install(source, plugins)
    assert not list(tmp_path.rglob("evil.py"))
    assert not list(plugins.iterdir())


def test_a_zip_with_a_link_is_refused(tmp_path: Path, plugins: Path) -> None:
    link = zipfile.ZipInfo("plugin.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "linked.zip", "w") as packed:
        packed.writestr("plugin.yaml", MANIFEST)
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(PluginRefused, match="is a link"):
        install(str(tmp_path / "linked.zip"), plugins)


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_folder_with_a_link_is_refused(tmp_path: Path, plugins: Path, is_folder: bool) -> None:
    folder = plugin(tmp_path)
    (folder / "linked").symlink_to(tmp_path if is_folder else "/etc/passwd")
    with pytest.raises(PluginRefused, match="linked is a link"):
        install(str(folder), plugins)


def test_a_bomb_is_refused_while_it_is_unpacked(tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 2**20)
    source = archive(tmp_path / "bomb.zip", {"plugin.yaml": MANIFEST, "big": "0" * 2**21})
    assert Path(source).stat().st_size < 10_000
    with pytest.raises(PluginRefused, match="may hold 2000 files and 1 MB"):
        install(source, plugins)
    assert not list(plugins.iterdir())


def test_too_many_files_are_refused(tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    files = {"plugin.yaml": MANIFEST, **{f"file{number}": "" for number in range(3)}}
    with pytest.raises(PluginRefused, match="may hold 3 files"):
        install(archive(tmp_path / "many.zip", files), plugins)
    folder = plugin(tmp_path)
    for number in range(2):
        (folder / str(number)).touch()
    with pytest.raises(PluginRefused, match="may hold 3 files"):
        install(str(folder), plugins)


def test_a_zip_that_is_damaged_anywhere_is_refused_or_whole(tmp_path: Path, plugins: Path) -> None:
    source = archive(tmp_path / "damaged.zip", {"plugin.yaml": MANIFEST, "plugin.py": "x = 1\n" * 20})
    whole = Path(source).read_bytes()
    refused = 0
    for position in range(len(whole)):
        Path(source).write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with suppress(PluginRefused, ManifestError), opened(source, plugins):
            continue
        refused += 1
    assert refused > len(whole) / 2
    assert not list(plugins.iterdir())


def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "plugin.py")

    folder = plugin(tmp_path)
    monkeypatch.setattr(shutil, "copyfile", closed)
    with pytest.raises(PluginRefused, match="cannot be read: Permission denied"):
        install(str(folder), plugins)


def test_a_wrong_manifest_is_explained_where_its_author_will_look(tmp_path: Path, plugins: Path) -> None:
    folder = plugin(tmp_path, version="one")
    with pytest.raises(ManifestError, match="version: must be a version") as raised:
        install(str(folder), plugins)
    assert raised.value.message.startswith(f"{folder / 'plugin.yaml'}: ")


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("gone/tried.zip", "nor the name of a package"),
        ("https://example.org/tried.zip", "nor the name of a package"),
        ("tried @ https://example.org/tried.zip", "nor the name of a package"),
    ],
)
def test_what_is_nothing_is_refused(plugins: Path, source: str, what: str) -> None:
    with pytest.raises(PluginRefused, match=what):
        install(source, plugins)


def test_a_folder_without_a_plugin_is_refused(tmp_path: Path, plugins: Path) -> None:
    with pytest.raises(PluginRefused, match=r"there is no plugin\.yaml at its top"):
        install(str(tmp_path), plugins)
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(PluginRefused, match="neither a folder nor a zip"):
        install(str(tmp_path / "text.txt"), plugins)


def test_an_upgrade_replaces_all_of_the_old_one(tmp_path: Path, plugins: Path) -> None:
    old = install(str(plugin(tmp_path / "old")), plugins)
    (old / "old.txt").write_text("")
    new = plugin(tmp_path / "new", version="2.0.0")
    with pytest.raises(PluginRefused, match="is there already"):
        install(str(new), plugins)
    assert (old / "old.txt").exists()
    install(str(new), plugins, upgrade=True)
    assert tree(plugins) == ["tried/plugin.py", "tried/plugin.yaml"]
    assert "2.0.0" in (plugins / "tried" / "plugin.yaml").read_text()


def test_what_cannot_be_replaced_is_put_back(tmp_path: Path, plugins: Path) -> None:
    target = install(str(plugin(tmp_path)), plugins)
    with staging(plugins) as stage, pytest.raises(PluginRefused, match="cannot be written"):
        place(stage / "not there", target, replace=True)
    assert tree(target) == ["plugin.py", "plugin.yaml"]


def test_whoever_gives_up_in_the_middle_keeps_the_old_one(
    tmp_path: Path, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = install(str(plugin(tmp_path)), plugins)
    rename = Path.rename

    def rename_and_give_up(source: Path, to: Path) -> Path:
        renamed = rename(source, to)
        if source == target:
            raise KeyboardInterrupt
        return renamed

    monkeypatch.setattr(Path, "rename", rename_and_give_up)
    with staging(plugins) as stage, pytest.raises(KeyboardInterrupt):
        place(stage / "made", target, replace=True)
    assert tree(plugins) == ["tried/plugin.py", "tried/plugin.yaml"]


KILLED = """
import os, sys
from pathlib import Path
from panotti_daemon.plugin_kit import placing, sources

steps, rename = int(sys.argv[1]), Path.rename

def rename_and_die(source, to):
    global steps
    renamed = rename(source, to)
    if "tried" in (source.name, Path(to).name) and Path(to).parent == Path(sys.argv[3]):
        steps -= 1
        if steps == 0:
            os._exit(1)
    return renamed

Path.rename = rename_and_die
with sources.opened(sys.argv[2], Path(sys.argv[3])) as offer:
    offer.install(Path(sys.argv[3]), upgrade=True)
"""


@pytest.mark.parametrize(("steps", "version"), [(1, "1.0.0"), (2, "2.0.0")])
def test_an_upgrade_that_is_killed_leaves_one_version_whole(
    tmp_path: Path, plugins: Path, steps: int, version: str
) -> None:
    install(str(plugin(tmp_path / "old", version="1.0.0")), plugins)
    new = plugin(tmp_path / "new", version="2.0.0")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(steps), new, plugins], check=False)
    assert killed.returncode == 1
    recover(plugins)
    assert version in (plugins / "tried" / "plugin.yaml").read_text()
    assert [path for path in plugins.iterdir() if not path.name.startswith(".staging-")] == [plugins / "tried"]


def test_a_link_that_is_removed_leaves_what_it_points_to(tmp_path: Path, plugins: Path) -> None:
    folder = plugin(tmp_path)
    plugins.mkdir()
    (plugins / "tried").symlink_to(folder)
    remove(plugins / "tried")
    assert not list(plugins.iterdir())
    assert tree(folder) == ["plugin.py", "plugin.yaml"]


def wheel(path: Path, module: str, files: Mapping[str, str], group: str = "panotti.plugins") -> str:
    info = "tried_plugin-1.0.0.dist-info"
    metadata = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tried-plugin\nVersion: 1.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{group}]\ntried = {module}\n",
    }
    records = "".join(f"{name},,\n" for name in [*files, *metadata, f"{info}/RECORD"])
    path.mkdir()
    return archive(path / "tried_plugin-1.0.0-py3-none-any.whl", {**files, **metadata, f"{info}/RECORD": records})


def test_a_package_is_looked_into_before_it_is_installed(tmp_path: Path, plugins: Path) -> None:
    files = {"tried/plugin.yaml": MANIFEST, "tried/plugin.py": "", "tried/__init__.py": ""}
    with opened(wheel(tmp_path / "wheels", "tried", files), plugins) as offer:
        assert (offer.manifest.name, offer.manifest.version) == ("tried", "1.0.0")
        assert list(offer.files) == ["__init__.py", "plugin.py", "plugin.yaml"]


@pytest.mark.parametrize(
    ("module", "group", "what"),
    [
        ("tried", "console_scripts", "it must have one entry point of the group panotti.plugins, and has 0"),
        ("../../tried", "panotti.plugins", "is no module"),
        ("elsewhere", "panotti.plugins", r"there is no plugin\.yaml"),
    ],
)
def test_a_package_that_is_no_plugin_is_refused(
    tmp_path: Path, plugins: Path, module: str, group: str, what: str
) -> None:
    source = wheel(tmp_path / "wheels", module, {"tried/plugin.yaml": MANIFEST}, group)
    with pytest.raises(PluginRefused, match=what):
        install(source, plugins)
