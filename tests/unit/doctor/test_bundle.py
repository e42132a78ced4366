from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import yaml

from panotti_daemon.doctor.bundle import LEFT_OUT, Redactor, pack
from panotti_daemon.doctor.finding import Finding
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

PRIVATE = ["hunter2", "Zoë", "the merger", "Interview with Ann", "/home/ann", "jo\n"]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"PANOTTI_HOME": str(tmp_path)})
    found.create()
    return found


def log_line(**entry: object) -> str:
    return json.dumps({"logger": "panotti_daemon.app", "event": "ready", **entry})


def test_a_bundle_holds_nothing_of_what_was_planted(paths: Paths, tmp_path: Path) -> None:
    settings = {
        "watch": [
            {"path": "/home/ann/Interview with Ann", "language": "de", "formats": ["txt"], "model": "Zoë's"},
            {"split": {"Zoë": "channel 1"}, "speakers": {"Zoë": "jo"}, "vocabulary": ["jo"], "tracks": {"Zoë": "z_*"}},
        ],
        "plugins": {"uploader": {"config": {"password": "hunter2", "folders": {"/home/ann": {"days": 3}}}}},
    }
    paths.config_file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    trouble = 'Traceback (most recent call last):\n  File "/home/ann/x/panotti_daemon/app.py", line 3, in run\n'
    lines = [
        log_line(path="/home/ann/Interview with Ann.wav", reason="Zoë said the merger is off"),
        log_line(logger="httpx2", event="GET /?token=hunter2"),
        log_line(logger="plugins.uploader", event="sent the merger"),
        log_line(exception=f"{trouble}ValueError: the merger\n", token="hunter2"),
        "Interview with Ann, not even JSON",
    ]
    paths.log_file.write_text("\n".join(lines), encoding="utf-8")
    findings = [
        Finding("daemon", False, "Interview with Ann failed", "See /home/ann"),
        Finding("tray", True, "there is a place for the icon"),
        Finding("engine", False, "There is no complete model in /home/ann", "Look into /home/ann/panotti.log"),
    ]
    pack(tmp_path / "report.zip", findings, paths)
    with zipfile.ZipFile(tmp_path / "report.zip") as bundle:
        content = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert set(content) == {"findings.json", "settings.yaml", "panotti.log.jsonl"}
    everything = "\n".join(content.values())
    assert not [word for word in PRIVATE if word in everything or json.dumps(word)[1:-1] in everything]


def test_what_helps_stays_in_a_bundle() -> None:
    redactor = Redactor(b"key")
    trouble = 'Traceback:\n  File "/opt/lib/panotti_daemon/core/bus.py", line 7, in publish\nValueError: secret\n'
    kept = json.loads(redactor.log_line(log_line(level="error", plugin="uploader", exception=trouble)))
    assert (kept["event"], kept["level"], kept["plugin"]) == ("ready", "error", "uploader")
    assert kept["exception"] == ["panotti_daemon/core/bus.py:7 publish", "ValueError"]
    assert redactor.settings({"rescan_seconds": 300, "watch": [{"polling": "auto", "language": "de"}]}) == {
        "rescan_seconds": 300,
        "watch": [{"polling": "auto", "language": "de"}],
    }
    assert redactor.finding(Finding("engine", True, "understood 30 words"))["message"] == "understood 30 words"
    assert redactor.finding(Finding("model", True, "in /home/ann"))["message"] == LEFT_OUT


def test_a_path_has_the_same_mark_everywhere_and_another_in_the_next_bundle() -> None:
    one, other = Redactor(b"one"), Redactor(b"other")
    marked = one.settings("/in/call.wav")
    assert json.loads(one.log_line(log_line(path="/in/call.wav")))["path"] == marked
    assert one.settings("/in/other.wav") != marked
    assert other.settings("/in/call.wav") != marked


def test_a_bundle_that_cannot_be_written_is_one_line(paths: Paths) -> None:
    with pytest.raises(PanottiError, match=r"report\.zip cannot be written"):
        pack(paths.data / "nowhere" / "report.zip", [], paths)


def test_a_bundle_takes_the_place_of_no_file(paths: Paths, tmp_path: Path) -> None:
    report = tmp_path / "report.zip"
    report.write_text("somebody's own")
    with pytest.raises(PanottiError, match=r"report\.zip is there already: name another file"):
        pack(report, [], paths)
    assert report.read_text() == "somebody's own"


def test_what_was_written_of_a_bundle_that_fails_does_not_stay(paths: Paths, tmp_path: Path) -> None:
    report, log = tmp_path / "report.zip", paths.log_file
    log.mkdir(parents=True)
    with pytest.raises(PanottiError, match=r"report\.zip cannot be written"):
        pack(report, [], paths)
    assert not report.exists()
