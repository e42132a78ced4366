from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from panotti_daemon.engine.models import damage
from panotti_daemon.engine.models.checksums import Verdict, changed_files_are_whole, digest_of, verify, write_record
from panotti_daemon.engine.models.store import resolve
from tests.hub import model_folder

NAMES = ("config.json", "model.bin", "tokenizer.json")


def recorded(folder: Path) -> Path:
    model_folder(folder)
    write_record(folder, {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES})
    return folder


def alter(file: Path) -> None:
    """As many bytes as before."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_digest_is_sha_256_or_the_name_that_git_gives(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"hello\n")
    assert digest_of(file, "0" * 40) == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert digest_of(file, "0" * 64) == hashlib.sha256(b"hello\n").hexdigest()


def test_a_folder_of_which_nothing_is_known_is_unknown(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "base")
    assert verify(folder).verdict is changed_files_are_whole(folder).verdict is Verdict.UNKNOWN


def test_what_was_recorded_is_compared(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "base")
    read: list[int] = []
    assert verify(folder, read.append).verdict is Verdict.WHOLE
    assert sum(read) == sum((folder / name).stat().st_size for name in NAMES)
    alter(folder / "model.bin")
    assert verify(folder).reason == "model.bin is not what was published"
    (folder / "model.bin").unlink()
    assert verify(folder).reason == "model.bin is missing"


def test_only_what_has_changed_is_read_again(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "base")
    weights = folder / "model.bin"
    before = weights.stat()
    alter(weights)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed_files_are_whole(folder).verdict is Verdict.WHOLE  # it was not read
    os.utime(weights)
    assert changed_files_are_whole(folder).reason == "model.bin is not what was published"


def test_a_copy_is_read_once(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "base")
    os.utime(folder / "model.bin", (1, 1))
    assert changed_files_are_whole(folder).verdict is Verdict.WHOLE
    noted = (folder / "checksums.json").stat().st_mtime_ns
    assert changed_files_are_whole(folder).verdict is Verdict.WHOLE
    assert (folder / "checksums.json").stat().st_mtime_ns == noted


def test_a_whole_model_is_whole_where_that_cannot_be_noted(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "base")
    os.utime(folder / "model.bin", (1, 1))
    (folder / ".checksums.json.tmp").mkdir()  # in its way, as a full disk would be
    assert changed_files_are_whole(folder).verdict is Verdict.WHOLE


def test_the_cache_of_other_tools_is_known_by_the_names_of_its_blobs(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for name, content in (("model.bin", b"weights"), ("config.json", b"hello\n")):
        digest = hashlib.sha256(content).hexdigest()
        if name == "config.json":
            digest = "ce013625030ba8dba906f756967f9e9ca394464a"
        (blobs / digest).write_bytes(content)
        (snapshot / name).symlink_to(blobs / digest)
    assert verify(snapshot).verdict is Verdict.WHOLE
    alter((snapshot / "model.bin").resolve())
    assert verify(snapshot).verdict is Verdict.DAMAGED


def test_the_starter_model_is_known_by_its_package(tmp_path: Path) -> None:
    assert verify(resolve("tiny.en", tmp_path, download=False).path).verdict is Verdict.WHOLE


def test_damage_is_known_until_the_files_change(tmp_path: Path) -> None:
    models, folder = tmp_path / "models", model_folder(tmp_path / "models" / "base")
    assert damage.known_damage(folder, models) is None
    damage.note_damage(folder, models, "model.bin is missing")
    assert damage.known_damage(folder, models) == "model.bin is missing"
    os.utime(folder / "model.bin", (1, 1))
    assert damage.known_damage(folder, models) is None


def test_damage_can_be_taken_back(tmp_path: Path) -> None:
    models, folder = tmp_path / "models", model_folder(tmp_path / "models" / "base")
    damage.note_damage(folder, models, "it cannot be loaded")
    damage.note_whole(folder, models)
    assert damage.known_damage(folder, models) is None
    assert not damage.any_known_damage(models)


@pytest.mark.parametrize("content", [b"", b"nonsense", b'{"/x": 3}'])
def test_notes_that_cannot_be_read_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / damage.NOTES).write_bytes(content)
    assert not damage.any_known_damage(tmp_path)
