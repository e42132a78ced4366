from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from panotti_daemon.core.plugins.manifest import Manifest, read_manifest
from panotti_daemon.errors import ManifestError

GOOD: dict[str, Any] = {
    "name": "example",
    "version": "1.0.0",
    "api_version": 1,
    "description": "Shows how it is done.",
}


def folder_with(tmp_path: Path, content: str | dict[str, Any], name: str = "example") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (folder / "plugin.yaml").write_text(text, encoding="utf-8")
    (folder / "plugin.py").write_text("raise AssertionError('imported before the manifest was checked')")
    return folder


def complaint(folder: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(folder)
    message = caught.value.message
    assert "\n" not in message
    assert message.startswith(str(folder / "plugin.yaml"))
    return message.removeprefix(str(folder / "plugin.yaml")).removeprefix(": ")


def test_only_four_keys_are_needed(tmp_path: Path) -> None:
    assert read_manifest(folder_with(tmp_path, GOOD)) == Manifest.model_validate(GOOD)


def test_a_manifest_can_say_everything(tmp_path: Path) -> None:
    content = GOOD | {
        "dependencies": {"transcription_local": ">=1,<2"},
        "subscribes": ["transcription_local.completed", "*.error"],
        "emits": ["example.completed"],
        "max_attempts": 5,
        "concurrency": 2,
        "config": {"days": 3},
        "enabled": False,
    }
    manifest = read_manifest(folder_with(tmp_path, content))
    assert manifest.subscribes == ("transcription_local.completed", "*.error")
    assert (manifest.max_attempts, manifest.concurrency, manifest.enabled) == (5, 2, False)


@pytest.mark.parametrize("key", GOOD)
def test_a_needed_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    content = {k: v for k, v in GOOD.items() if k != key}
    assert complaint(folder_with(tmp_path, content)) == f"{key}: is missing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subscribe": []}, "subscribe: there is no such key; did you mean subscribes?"),
        ({"name": "other"}, "name: must be the folder's, 'example' (it is 'other')"),
        ({"name": "Bad Name"}, "name: must look like ^[a-z][a-z0-9_]*$ (it is 'Bad Name')"),
        ({"name": "daemon"}, "name: must not be a name of Panotti's own (it is 'daemon')"),
        ({"name": "engine"}, "name: must not be a name of Panotti's own (it is 'engine')"),
        ({"version": "one"}, "version: must be a version such as 1.0.0 (it is 'one')"),
        ({"version": 1.0}, "version: must be text: put it in quotes (it is 1.0)"),
        ({"api_version": "x"}, "api_version: must be a whole number (it is 'x')"),
        ({"api_version": 99, "new_key": 1}, "api_version: this Panotti offers 1, the plugin wants 99"),
        ({"dependencies": {"a": "newest"}}, "dependencies.a: must be a version range such as >=1,<2 (it is 'newest')"),
        ({"dependencies": ["a"]}, "dependencies: must hold keys with values"),
        ({"subscribes": "recording.ready"}, "subscribes: must be a list (it is 'recording.ready')"),
        ({"max_attempts": 0}, "max_attempts: must be at least 1 (it is 0)"),
        ({"concurrency": "many"}, "concurrency: must be a whole number (it is 'many')"),
        ({"enabled": "perhaps"}, "enabled: must be true or false (it is 'perhaps')"),
        ({"role": "boss"}, "role: must be 'transcription' (it is 'boss')"),
        ({"config": 5}, "config: must hold keys with values (it is 5)"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert complaint(folder_with(tmp_path, GOOD | changes)) == message


@pytest.mark.parametrize("pattern", ["", "Recording.ready", "recording ready", ".ready", "a.b.c", "[a-z].ready"])
def test_a_subscription_must_be_able_to_match(tmp_path: Path, pattern: str) -> None:
    assert complaint(folder_with(tmp_path, GOOD | {"subscribes": [pattern]})).startswith(
        "subscribes[0]: must look like"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must hold keys such as `name: example`"),
        ("- a", "must hold keys such as `name: example`"),
        ("a: 1\nb: [", ":2: is not YAML: "),
    ],
)
def test_what_is_no_manifest_at_all_is_said_so(tmp_path: Path, content: str, message: str) -> None:
    assert complaint(folder_with(tmp_path, content)).strip().startswith(message)


def test_a_manifest_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    assert complaint(tmp_path / "nowhere").strip() == "cannot be read: No such file or directory"
