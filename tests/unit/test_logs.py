from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from panotti_daemon import logs
from panotti_daemon.settings import LogSettings

SECRET = "s3cr3t-value"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # or configuring would close what is not ours
    structlog_before = structlog.get_config()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**structlog_before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "panotti.log"


def configure(file: Path, **settings: Any) -> None:
    logs.configure(LogSettings(**{"level": "debug", **settings}), file, terminal=False)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def test_each_thing_is_one_json_line_with_its_time_level_and_logger(file: Path) -> None:
    configure(file)
    structlog.get_logger("panotti_daemon.example").info("ready", url="http://127.0.0.1", path="/in/Grüße.wav")
    (line,) = lines(file)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "ready",
        "level": "info",
        "logger": "panotti_daemon.example",
        "url": "http://127.0.0.1",
        "path": "/in/Grüße.wav",
    }
    assert "Grüße" in file.read_text(encoding="utf-8")


def test_a_foreign_library_is_logged_in_the_same_form(file: Path) -> None:
    configure(file)
    logging.getLogger("somebody.else").warning("%s went wrong", "this")
    (line,) = lines(file)
    assert (line["event"], line["level"], line["logger"]) == ("this went wrong", "warning", "somebody.else")


@pytest.mark.parametrize("foreign", [False, True])
def test_an_exception_stays_in_the_line_of_its_event(file: Path, foreign: bool) -> None:
    configure(file)
    log = logging.getLogger("somebody") if foreign else structlog.get_logger("panotti_daemon")
    try:
        raise ValueError("several\nlines")
    except ValueError:
        log.exception("it failed")
    (line,) = lines(file)
    assert line["event"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: several\nlines")


def test_values_that_break_lines_do_not_break_the_log(file: Path) -> None:
    configure(file)
    structlog.get_logger().info("seen\nthere", path="/in/two\nlines\r\n.wav")
    assert file.read_bytes().count(b"\n") == 1


def test_a_name_that_is_not_unicode_is_logged_all_the_same(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(file)
    structlog.get_logger().info("seen", path=os.fsdecode(b"/in/caf\xe9.wav"))
    assert b"caf\\udce9.wav" in file.read_bytes()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("key", sorted(logs.SECRET_KEYS))
def test_the_value_of_a_secret_key_is_left_out(file: Path, key: str) -> None:
    configure(file)
    structlog.get_logger().info("said", **{key: SECRET, key.upper(): SECRET})
    assert SECRET not in file.read_text()
    assert lines(file)[0][key] == logs.LEFT_OUT


@pytest.mark.parametrize(
    "value",
    [
        {"token": SECRET},
        {"request": {"Authorization": SECRET}},
        [{"text": SECRET}],
        ({"nested": [{"api_key": SECRET}]},),
        f"Authorization: Bearer {SECRET}",
        [f"basic {SECRET}"],
    ],
)
def test_secrets_are_left_out_however_deep_they_are(file: Path, value: object) -> None:
    configure(file)
    structlog.get_logger().info("said", value=value, harmless=1)
    assert SECRET not in file.read_text()
    assert lines(file)[0]["harmless"] == 1


def test_credentials_that_a_foreign_library_or_an_exception_names_are_left_out(file: Path) -> None:
    configure(file)
    logging.getLogger("somebody").warning("headers: {'Authorization': 'Bearer %s'}", SECRET)
    try:
        raise ValueError(f"refused: Bearer {SECRET}")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert len(lines(file)) == 2
    assert SECRET not in file.read_text()


def test_what_the_caller_logged_is_not_changed(file: Path) -> None:
    configure(file)
    value = {"token": SECRET}
    structlog.get_logger().info("said", value=value)
    assert value == {"token": SECRET}


def test_a_log_that_grew_is_rotated_and_old_ones_are_dropped(file: Path) -> None:
    configure(file, max_megabytes=0.001, keep_files=2)
    for number in range(100):
        structlog.get_logger().info("a line of some length", number=number)
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["panotti.log", "panotti.log.1", "panotti.log.2"]
    assert all(path.stat().st_size <= 1000 for path in file.parent.iterdir())
    assert lines(file)[-1]["number"] == 99


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")
def test_nobody_else_can_read_the_log_or_its_older_parts(file: Path) -> None:
    old = os.umask(0)
    try:
        configure(file, max_megabytes=0.001)
        for number in range(20):
            structlog.get_logger().info("a line of some length", number=number)
    finally:
        os.umask(old)
    assert len(list(file.parent.iterdir())) > 1
    assert {oct(path.stat().st_mode & 0o777) for path in file.parent.iterdir()} == {"0o600"}
    assert file.parent.stat().st_mode & 0o077 == 0


def test_what_is_below_the_level_is_not_written(file: Path) -> None:
    configure(file, level="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(file)] == ["loud"]


@pytest.mark.parametrize("library", ["aiosqlite", "httpx2", "uvicorn.access", "desktop_notifier", "watchdog.observers"])
def test_libraries_that_would_log_contents_are_kept_quiet_at_every_level(file: Path, library: str) -> None:
    configure(file, level="debug")
    logging.getLogger(library).debug("executing %s", SECRET)
    logging.getLogger(library).info("request with %s", SECRET)
    assert lines(file) == []


def test_configuring_again_leaves_no_handler_behind(file: Path) -> None:
    configure(file)
    configure(file)
    structlog.get_logger().info("once")
    assert len(lines(file)) == 1


def test_a_terminal_gets_readable_lines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings(), None, terminal=True)
    structlog.get_logger("panotti_daemon").info("ready", token=SECRET, url="http://x")
    shown = capsys.readouterr().err
    assert "ready" in shown
    assert "url=http://x" in shown
    assert SECRET not in shown
    assert not file.exists()
