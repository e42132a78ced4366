from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from panotti_daemon.errors import SettingsError
from panotti_daemon.paths import Paths
from panotti_daemon.settings import Format, Settings, load


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("PANOTTI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environment({"PANOTTI_HOME": str(tmp_path / "home")})


def write(paths: Paths, content: str | Mapping[str, Any]) -> None:
    paths.config.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(dict(content))
    paths.config_file.write_text(text, encoding="utf-8")


def complaint(paths: Paths, flags: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(paths, flags)
    message = caught.value.message
    assert "\n" not in message
    return message.replace(str(paths.config_file), "FILE")


def test_without_settings_the_default_folder_is_watched(paths: Paths) -> None:
    settings = load(paths)
    (folder,) = settings.watch
    assert (folder.path, folder.output) == (paths.recordings, paths.transcripts)
    assert folder.formats == (Format.TXT, Format.SRT, Format.JSON)
    assert settings.api.port == 54789


def test_flags_win_over_the_environment_and_that_over_the_file(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    write(paths, {"api": {"port": 1, "host": "::1"}, "rescan_seconds": 10, "engine": {"idle_seconds": 1}})
    monkeypatch.setenv("PANOTTI_API__PORT", "2")
    monkeypatch.setenv("PANOTTI_RESCAN_SECONDS", "20")
    settings = load(paths, {"api": {"port": 3}})
    assert (settings.api.port, settings.api.host) == (3, "::1")
    assert settings.rescan_seconds == 20
    assert settings.engine.idle_seconds == 1


def test_any_number_of_folders_each_with_its_own_settings(paths: Paths) -> None:
    write(paths, {"watch": [{"path": "/a", "language": "de"}, {"path": "/b", "output": "beside", "polling": 5}]})
    first, second = load(paths).watch
    assert (first.path, first.language, first.output) == (Path("/a"), "de", paths.transcripts)
    assert (second.path, second.output, second.polling) == (Path("/b"), "beside", 5)


def test_a_bare_path_is_a_folder_with_all_defaults_alone_and_in_a_list(paths: Paths) -> None:
    write(paths, {"watch": "/a"})
    assert [folder.path for folder in load(paths).watch] == [Path("/a")]
    write(paths, {"watch": ["/a", {"path": "/b", "language": "de"}]})
    first, second = load(paths).watch
    assert (first.path, first.output) == (Path("/a"), paths.transcripts)
    assert (second.path, second.language) == (Path("/b"), "de")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('[{"path": "/in", "output": "/out"}]', [("/in", "/out")]),
        ('[{"path": "/in"}, {"path": "/other"}]', [("/in", None), ("/other", None)]),
        ("/in", [("/in", None)]),
    ],
)
def test_folders_come_from_the_environment(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, value: str, expected: list[tuple[str, str | None]]
) -> None:
    write(paths, {"watch": [{"path": "/of-the-file"}]})
    monkeypatch.setenv("PANOTTI_WATCH", value)
    folders = [(str(folder.path), folder.output) for folder in load(paths).watch]
    assert folders == [(path, Path(output) if output else paths.transcripts) for path, output in expected]


def test_a_home_folder_is_written_as_a_tilde(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    write(paths, {"watch": [{"path": "~/Recordings", "output": "~/Transcripts"}]})
    (folder,) = load(paths).watch
    assert (folder.path, folder.output) == (
        Path("/home/somebody/Recordings"),
        Path("/home/somebody/Transcripts"),
    )


def test_a_relative_path_on_the_command_line_means_the_current_folder(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder,) = load(paths, {"watch": [{"path": Path("in"), "output": Path("out")}]}).watch
    assert (folder.path, folder.output) == (tmp_path / "in", tmp_path / "out")


def test_a_folder_has_one_name_however_it_is_written(paths: Paths) -> None:
    write(paths, {"watch": [{"path": "/in/calls/../memos/./", "output": "/out/.."}]})
    (folder,) = load(paths).watch
    assert (folder.path, folder.output) == (Path("/in/memos"), Path("/"))
    write(paths, {"watch": [{"path": "/in/memos"}, {"path": "/in/calls/../memos"}]})
    assert "names /in/memos twice" in complaint(paths)


def test_a_format_named_twice_counts_once(paths: Paths) -> None:
    write(paths, {"watch": [{"path": "/in", "formats": ["txt", "md", "txt"]}]})
    assert load(paths).watch[0].formats == (Format.TXT, Format.MD)


def test_a_section_whose_keys_are_all_commented_out_says_nothing(paths: Paths) -> None:
    write(paths, "watch:\n#  - path: /in\napi:\n  # port: 1\nrescan_seconds: 60\n")
    settings = load(paths)
    assert settings.watch[0].path == paths.recordings
    assert (settings.api.port, settings.rescan_seconds) == (54789, 60)


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "\ufeffrescan_seconds: 300\n"])
def test_a_file_that_says_nothing_is_fine(paths: Paths, content: str) -> None:
    write(paths, content)
    assert load(paths).rescan_seconds == 300


def test_plugins_are_configured_by_name(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    write(paths, {"plugins": {"cleanup_files": {"enabled": False, "config": {"days": 3}}}})
    monkeypatch.setenv("PANOTTI_PLUGINS__CLEANUP_FILES__ENABLED", "true")
    settings = load(paths).plugins["cleanup_files"]
    assert (settings.enabled, settings.config) == (True, {"days": 3})


IN = {"path": "/in"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rescan_second": 1}, "rescan_second: there is no such key; did you mean rescan_seconds?"),
        ({"api": {"prot": 1}}, "api.prot: there is no such key; did you mean port?"),
        ({"watch": [{"pth": "/in"}]}, "watch[0].pth: there is no such key; did you mean path?"),
        ({"tray": {"zzz": 1}}, "tray.zzz: there is no such key; allowed: enabled"),
        ({"rescan_seconds": 1}, "rescan_seconds: must be at least 5 (it is 1)"),
        ({"rescan_seconds": "often"}, "rescan_seconds: must be a number (it is 'often')"),
        ({"backlog_limit": 1.5}, "backlog_limit: must be a whole number (it is 1.5)"),
        ({"api": {"port": 99999}}, "api.port: must be at most 65535 (it is 99999)"),
        ({"api": {"port": None}}, "api.port: must be a whole number (it is empty)"),
        ({"api": 5}, "api: must hold keys with values (it is 5)"),
        (
            {"api": {"host": "0.0.0.0"}},
            "api.host: must be '127.0.0.1', '::1' or 'localhost' (it is '0.0.0.0')",
        ),
        ({"tray": {"enabled": "maybe"}}, "tray.enabled: must be 'auto' or true or false (it is 'maybe')"),
        ({"engine": {"workers": 0}}, "engine.workers: must be 'auto' or at least 1 (it is 0)"),
        ({"engine": {"workers": "all"}}, "engine.workers: must be 'auto' or a whole number (it is 'all')"),
        ({"log": {"level": "loud"}}, "log.level: must be 'debug', 'info', 'warning' or 'error' (it is 'loud')"),
        ({"watch": [{}]}, "watch[0].path: is missing"),
        ({"watch": 5}, "watch: must be a list (it is 5)"),
        ({"watch": [IN, {"path": 5}]}, "watch[1].path: must be a path (it is 5)"),
        (
            {"watch": [{"path": ""}]},
            "watch[0].path: must be an absolute path, or begin with ~: the daemon has no current folder (it is empty)",
        ),
        (
            {"watch": ["in"]},
            "watch[0].path: must be an absolute path, or begin with ~: the daemon has no current folder (it is 'in')",
        ),
        ({"watch": [5]}, "watch[0]: must hold keys with values (it is 5)"),
        (
            {"watch": [IN | {"output": "out"}]},
            "watch[0].output: must be 'beside' or an absolute path, or begin with ~: the daemon has no current folder "
            "(it is 'out')",
        ),
        ({"watch": [IN | {"settle_seconds": -1}]}, "watch[0].settle_seconds: must be at least 0 (it is -1)"),
        (
            {"watch": [IN | {"polling": "often"}]},
            "watch[0].polling: must be 'auto' or 'never' or a number (it is 'often')",
        ),
        ({"watch": [IN | {"polling": 0.1}]}, "watch[0].polling: must be 'auto' or 'never' or at least 1 (it is 0.1)"),
        (
            {"watch": [IN | {"formats": ["txt", "pdf"]}]},
            "watch[0].formats[1]: must be 'txt', 'srt', 'vtt', 'json' or 'md' (it is 'pdf')",
        ),
        (
            {"watch": [IN | {"formats": []}]},
            "watch[0].formats: must name at least one of txt, srt, vtt, json, md",
        ),
        (
            {"watch": [IN | {"language": "English"}]},
            "watch[0].language: must be auto or the code of a language, such as en (it is 'English')",
        ),
        ({"watch": [IN | {"model": ""}]}, "watch[0].model: must not be empty (it is empty)"),
        (
            {"watch": [IN | {"speakers": {"microphone": "Anna\nB."}}]},
            "watch[0].speakers.microphone: must be a name, on one line (it is 'Anna\\nB.')",
        ),
        (
            {"watch": [IN | {"speakers": {"mic": "Anna"}}]},
            "watch[0].speakers: mic is not a track; tracks and split have: microphone, system",
        ),
        (
            {"watch": [IN | {"tracks": {"microphone": "mic"}}]},
            "watch[0].tracks.microphone: needs some text and one * before its suffix, for the recording's name, as in "
            "\"*_mic.*\" (it is 'mic')",
        ),
        (
            {"watch": [IN | {"tracks": {"microphone": "in/*_mic.*"}}]},
            "watch[0].tracks.microphone: must be the pattern of a name, without folders (it is 'in/*_mic.*')",
        ),
        ({"watch": [IN, {"path": "/in/"}]}, "watch: names /in twice"),
        (
            {"plugins": {"cleanup_files": {"enable": True}}},
            "plugins.cleanup_files.enable: there is no such key; did you mean enabled?",
        ),
        (
            {"api": {"cors_origins": ["*"]}},
            "api.cors_origins: '*' is not an origin: name each as scheme://host:port, in small letters; "
            '"*" would let every web page in',
        ),
        (
            {"api": {"cors_origins": ["https://notes.example:443"]}},
            "api.cors_origins: 'https://notes.example:443' is written without its port by browsers: leave it out",
        ),
        ({"rescan_seconds": math.inf}, "rescan_seconds: must be a finite number (it is inf)"),
        ({"engine": {"idle_seconds": math.inf}}, "engine.idle_seconds: must be a finite number (it is inf)"),
        ({"log": {"max_megabytes": math.inf}}, "log.max_megabytes: must be a finite number (it is inf)"),
        ({"events": {"keep_days": 1e9}}, "events.keep_days: must be at most 36525 (it is 1000000000.0)"),
        (
            {"engine": {"unused_model_days": 10**9}},
            "engine.unused_model_days: must be at most 36525 (it is 1000000000)",
        ),
        ({"polite": {"hours": 7}}, "polite.hours: must look like 22:00-07:00 (it is 7)"),
        ({"log": {"max_megabytes": 1e303}}, "log.max_megabytes: must be at most 100000 (it is 1e+303)"),
        (
            {"watch": [IN | {"speakers": {"microphone": 7}}]},
            "watch[0].speakers.microphone: must be text: put it in quotes (it is 7)",
        ),
        ({"watch": [{"path": "/i\0n"}]}, "watch[0].path: must hold no zero byte (it is '/i\\x00n')"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_in_one_line(paths: Paths, content: dict[str, Any], message: str) -> None:
    write(paths, content)
    assert complaint(paths) == f"FILE: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("watch: [\n", "FILE:2: this is not YAML: "),
        ("a: 1\n\tb: 2\n", "FILE:2: this is not YAML: "),
        ("- a\n- b\n", "FILE: must hold keys with values, such as `rescan_seconds: 300`"),
        ("just words", "FILE: must hold keys with values, such as `rescan_seconds: 300`"),
        ("1: 2\n", "FILE: 1: there is no such key; allowed: api, "),
        ("a: \x00", "FILE: this is not YAML: "),
        ("polite: {hours: 25:00}", "FILE: polite.hours: must look like 22:00-07:00 (it is '25:00')"),
        ("log: {level: off}", "FILE: log.level: must be 'debug', 'info', 'warning' or 'error' (it is 'off')"),
        ("api: {port: 80:00}", "FILE: api.port: must be a whole number (it is '80:00')"),
        ("api: {cors_origins: [no]}", "FILE: api.cors_origins: 'no' is not an origin: "),
        (
            "engine:\n  workers: 2\n\nengine:\n  idle_seconds: 1\n",
            "FILE:4: this is not YAML: the key engine stands there twice, first in line 1",
        ),
        (
            "watch:\n- path: /in\n  path: /out\n",
            "FILE:3: this is not YAML: the key path stands there twice, first in line 2",
        ),
    ],
)
def test_a_file_that_is_no_settings_is_said_so_with_its_line(paths: Paths, content: str, message: str) -> None:
    write(paths, content)
    assert complaint(paths).startswith(message)


def test_a_file_that_is_not_text_is_said_so(paths: Paths) -> None:
    write(paths, "")
    paths.config_file.write_bytes(b"\xff\xfe\x00\xff")
    assert complaint(paths).startswith("FILE: this is not YAML: ")


def test_a_file_that_cannot_be_read_is_said_so(paths: Paths) -> None:
    paths.config_file.mkdir(parents=True)
    assert complaint(paths).startswith("FILE cannot be read: ")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PANOTTI_API__PORT", "many", "PANOTTI_API__PORT: api.port: must be a whole number (it is 'many')"),
        ("PANOTTI_API__PROT", "1", "PANOTTI_API__PROT: api.prot: there is no such key; did you mean port?"),
        ("PANOTTI_API_PORT", "1", "PANOTTI_API_PORT: there is no such setting; did you mean PANOTTI_API__PORT?"),
        ("PANOTTI_WACTH", "/in", "PANOTTI_WACTH: there is no such setting; did you mean PANOTTI_WATCH?"),
        ("PANOTTI_WATCH", '[{"path": "/in"', "PANOTTI_WATCH: must be JSON: Expecting"),
        ("PANOTTI_WATCH__PATH", "/in", "PANOTTI_WATCH__PATH: there is no such setting"),
        ("PANOTTI_WATCH", "in", "PANOTTI_WATCH: watch[0].path: must be an absolute path"),
        ("PANOTTI_WATCH", '[{"path": "/in", "polling": "x"}]', "PANOTTI_WATCH: watch[0].polling: must be 'auto' or"),
        ("PANOTTI_WATCH", '[{"output": "/out"}]', "PANOTTI_WATCH: watch[0].path: is missing"),
        ("PANOTTI_API", '{"port": -1}', "PANOTTI_API: api.port: must be at least 0 (it is -1)"),
        ("PANOTTI_API__CORS_ORIGINS", "http://a", "PANOTTI_API__CORS_ORIGINS: must be JSON: Expecting"),
        ("PANOTTI_BACKLOG_LIMIT__X", "1", "PANOTTI_BACKLOG_LIMIT__X: there is no such setting; did you mean"),
        (
            "PANOTTI_PLUGINS__ONE__CONFG__DAYS",
            "1",
            "PANOTTI_PLUGINS__ONE__CONFG__DAYS: plugins.one.confg: there is no such key; did you mean config?",
        ),
        (
            "PANOTTI_ENGINE__REMOTE__SERVERS__0__URL",
            "http://gpu.lan",
            "PANOTTI_ENGINE__REMOTE__SERVERS__0__URL: engine.remote.servers: must be a list",
        ),
        ("PANOTTI_NONSENSE", "1", "PANOTTI_NONSENSE: there is no such setting; allowed: PANOTTI_API, "),
    ],
)
def test_what_is_wrong_in_the_environment_names_its_variable(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    write(paths, {"api": {"host": "::1"}, "watch": [IN]})
    monkeypatch.setenv(variable, value)
    assert complaint(paths).startswith(f"environment {message}")


def test_what_is_wrong_on_the_command_line_says_so(paths: Paths) -> None:
    assert complaint(paths, {"api": {"port": -1}}) == "command line: api.port: must be at least 0 (it is -1)"


def test_a_mistake_is_not_blamed_on_a_source_that_holds_only_its_neighbours(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(paths, {"api": {"host": "0.0.0.0"}})
    monkeypatch.setenv("PANOTTI_API", '{"port": 1}')
    assert complaint(paths, {"api": {"port": 2}}).startswith("FILE: api.host: ")


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "http://*.example.com", "example.com", "https://example.com/app", "null"),
        *("http://example.com?page", "http://Example.com", "http://me@example.com", "http://", "http://:80"),
    ],
)
def test_only_whole_origins_are_let_in(paths: Paths, origin: str) -> None:
    write(paths, {"api": {"cors_origins": ["http://localhost:3000", origin]}})
    assert f"{origin!r} is not an origin" in complaint(paths)


def test_a_word_is_a_word_and_only_what_wants_a_yes_or_no_makes_that_of_it(paths: Paths) -> None:
    write(paths, "watch: [{path: /in, language: no, words: yes, vocabulary: [on, 007], tracks: {no: '*_mic.*'}}]")
    (folder,) = load(paths).watch
    assert (folder.language, folder.words, folder.vocabulary) == ("no", True, ("on", "007"))
    assert list(folder.tracks) == ["no"]


def test_settings_never_change(paths: Paths) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(paths).rescan_seconds = 1  # type: ignore[misc]


def test_everything_stands_below_panotti_home(tmp_path: Path) -> None:
    paths = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    own = [paths.config, paths.data, paths.state, paths.cache, paths.runtime, paths.recordings, paths.transcripts]
    assert all(path.is_relative_to(tmp_path) for path in own)
    assert len(set(own)) == len(own)


def test_a_home_may_begin_with_a_tilde_or_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert Paths.from_environment({"PANOTTI_HOME": "~/p"}).config == tmp_path / "p" / "config"
    assert Paths.from_environment({"PANOTTI_HOME": "p"}).config == tmp_path / "p" / "config"


def test_the_command_that_checks_says_one_line_and_fails(paths: Paths, tmp_path: Path) -> None:
    write(paths, {"api": {"prot": 1}})
    environment = {**os.environ, "PANOTTI_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "panotti_daemon", "config", "check"]
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    message = f"{paths.config_file}: api.prot: there is no such key; did you mean port?"
    assert wrong.stderr == f"A setting cannot be used: {message}\n"

    write(paths, {"api": {"port": 1}})
    fine = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (fine.returncode, fine.stderr) == (0, "")


def test_the_command_that_checks_knows_what_plugins_there_are(paths: Paths, tmp_path: Path) -> None:
    environment = {**os.environ, "PANOTTI_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "panotti_daemon", "config", "check"]
    write(paths, {"plugins": {"desktop_notifier": {}, "mine": {}}})
    unknown = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"{paths.config_file}: plugins.mine: there is no such plugin; allowed: cleanup_files," in unknown.stderr
    (paths.plugins / "mine").mkdir(parents=True)
    (paths.plugins / "mine" / "plugin.yaml").touch()
    fine = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (fine.returncode, fine.stderr, fine.stdout) == (0, "", "The settings are fine.\n")


def test_every_key_of_a_section_can_be_set_from_the_environment(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOTTI_ENGINE__WORKERS", "3")
    monkeypatch.setenv("PANOTTI_TRAY__ENABLED", "false")
    monkeypatch.setenv("PANOTTI_LOG__LEVEL", "debug")
    monkeypatch.setenv("PANOTTI_API__CORS_ORIGINS", '["http://localhost:3000"]')
    settings = load(paths)
    assert isinstance(settings, Settings)
    assert (settings.engine.workers, settings.tray.enabled, settings.log.level) == (3, False, "debug")
    assert settings.api.cors_origins == ("http://localhost:3000",)


def test_what_commands_set_of_plugins_stands_between_the_file_and_the_environment(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(paths, {"plugins": {"one": {"enabled": False, "config": {"a": 1, "b": 1, "c": 1}}}})
    paths.plugin_settings.mkdir()
    (paths.plugin_settings / "one.yaml").write_text("enabled: true\nconfig: {b: 2, c: 2}\n")
    monkeypatch.setenv("PANOTTI_PLUGINS__ONE__CONFIG__C", "3")
    one = load(paths).plugins["one"]
    assert (one.enabled, one.config) == (True, {"a": 1, "b": 2, "c": "3"})


@pytest.mark.parametrize(
    ("value", "config"),
    [
        ('{"action": "trash", "after_days": 90}', {"action": "trash", "after_days": 90}),
        ('["a", "b"]', ["a", "b"]),
        *((text, text) for text in ("90", "true", "no", "25:00", "{name}", "[draft]", "")),
    ],
)
def test_of_what_the_environment_says_of_a_plugin_lists_and_mappings_are_json(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, value: str, config: object
) -> None:
    monkeypatch.setenv("PANOTTI_PLUGINS__ONE__CONFIG__KEY", value)
    assert load(paths).plugins["one"].config == {"key": config}


def test_a_mistake_in_what_commands_set_names_its_file(paths: Paths) -> None:
    file = paths.plugin_settings / "one.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("enabled: perhaps\n")
    assert complaint(paths).startswith(f"{file}: plugins.one.enabled: must be true or false")


def test_a_secret_in_the_environment_is_no_setting(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOTTI_SECRET__ONE__TOKEN", "correct-horse-battery")
    assert "correct-horse-battery" not in str(load(paths))
