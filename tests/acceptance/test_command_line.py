"""The command `panotti`, as people and scripts use it: what it prints, where, and with which exit status."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import srt

from panotti_daemon import __version__
from panotti_daemon.choices import FileState
from tests.daemon import PATIENCE, Panotti, wait_until
from tests.speech import SAMPLE, librivox_clip, librivox_sentences, word_error_rate

SENTENCES = librivox_sentences()
SENTENCE, WORDS = next(iter(SENTENCES.items()))
HEAVY = ("httpx2", "rich", "uvicorn", "fastapi", "pydantic", "av", "numpy", "PIL", "structlog", "asyncio")
WITH_A_DAEMON = (
    ["stop"],
    ["status"],
    ["recordings"],
    ["explain", "x.wav"],
    ["retry"],
    ["retry", "x.wav"],
    ["now", "x.wav"],
    ["cancel", "x.wav"],
    ["pause"],
    ["resume"],
    ["backlog"],
    ["events", "list"],
)


SLOW_PLUGIN = """
import asyncio
from pathlib import Path
from panotti_daemon.core.plugins import PluginBase

class Plugin(PluginBase):
    async def initialize(self):
        Path(__file__).with_name("initializing").touch()
        await asyncio.Event().wait()
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panotti]:
    """It has transcribed one sentence, and asks about two files that were there before it."""
    home = tmp_path_factory.mktemp("line") / "home"
    old = home / "old"
    old.mkdir(parents=True)
    for number in range(2):
        silence(old / f"old{number}.wav", seconds=number + 1)
    settings = {
        "watch": [{"path": str(home / "in"), "settle_seconds": 0.5}, {"path": str(old)}],
        "backlog_limit": 1,
        "engine": {"idle_seconds": 1},
    }
    (home / "in").mkdir()
    with Panotti(home, settings) as daemon:
        shutil.copy(SENTENCE, home / "in" / "sentence.wav")
        daemon.wait_for(home / "in" / "sentence.wav", FileState.DONE)
        yield daemon


@pytest.fixture
def alone(panotti: Callable[..., Panotti]) -> Panotti:
    """A home without a daemon."""
    return panotti()


def silence(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(int(seconds * 16_000) * 2))
    return path


def said(daemon: Panotti, *arguments: str | Path) -> str:
    """What a command prints that succeeds."""
    done = daemon.command(*arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def facts(daemon: Panotti, *arguments: str | Path) -> Any:
    return json.loads(said(daemon, *arguments, "--json"))


def complaint(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line of a command that fails."""
    assert (done.returncode, done.stdout) == (status, ""), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def file(daemon: Panotti, name: str = "sentence.wav") -> Path:
    return daemon.home / "in" / name


def test_letters_that_the_output_cannot_hold_are_no_reason_to_fail(alone: Panotti) -> None:
    alone.environment |= {"PYTHONIOENCODING": "cp1252", "PANOTTI_HOME": str(alone.home / "録音")}
    assert r"\u9332\u97f3" in said(alone, "config", "path")


def test_the_version_is_printed(alone: Panotti) -> None:
    assert said(alone, "--version") == f"panotti {__version__}\n"


def test_help_lists_the_commands_and_loads_nothing_for_it(alone: Panotti) -> None:
    names = ["run", "stop", "status", "tray", "transcribe", "recordings", "explain", "retry", "now", "cancel"]
    names += ["pause", "resume", "backlog", "config", "doctor"]
    helped = said(alone, "--help")
    assert not [name for name in names if f"\n  {name} " not in helped]
    code = f"""
import sys
from panotti_daemon.__main__ import main
sys.argv = ["panotti", "--help"]
try:
    main()
except SystemExit:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("arguments", WITH_A_DAEMON, ids=" ".join)
def test_without_a_daemon_a_command_says_how_to_start_it(alone: Panotti, arguments: list[str]) -> None:
    assert "panotti run" in complaint(alone.command(*arguments))


@pytest.mark.parametrize("command", [["status"], ["recordings"], ["explain", "x.wav"], ["backlog"]], ids=" ".join)
def test_json_of_a_failure_is_still_one_line_on_stderr(alone: Panotti, command: list[str]) -> None:
    complaint(alone.command(*command, "--json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["explain"],
        ["recordings", "--state", "nonsense"],
        ["recordings", "--limit", "0"],
        ["recordings", "--limit", "1001"],
        ["transcribe"],
        ["transcribe", "x.wav", "--format", "exe"],
        ["pause", "--for", "0"],
        ["pause", "--for", "-5"],
        ["pause", "--for", "1e300"],
        ["pause", "--for", "nan"],
        ["backlog", "--yes", "--skip"],
        ["run", "--port", "x"],
        ["run", "--output", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(alone: Panotti, arguments: list[str]) -> None:
    done = alone.command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["run", "--port", "99999"], ["config", "check"], ["config", "show"], ["transcribe", "x.wav"]],
    ids=" ".join,
)
def test_settings_that_cannot_be_used_are_one_line(alone: Panotti, arguments: list[str]) -> None:
    if "--port" not in arguments:
        alone.configure({"nonsense": 1})
    assert ("port" if "--port" in arguments else "nonsense") in complaint(alone.command(*arguments))


def test_a_home_that_cannot_be_made_is_one_line(alone: Panotti) -> None:
    alone.environment["PANOTTI_HOME"] = str(alone.paths.config_file)
    assert "config.yaml" in complaint(alone.command("run", "--no-tray"))


def test_a_second_daemon_ends_with_3_and_says_where_the_first_is(daemon: Panotti) -> None:
    assert daemon.process
    line = complaint(daemon.command("run", "--port", "0", "--no-tray"), status=3)
    assert str(daemon.process.pid) in line
    assert daemon.runtime.url in line
    assert "panotti stop" in line
    assert daemon.status().pid == daemon.process.pid


def test_status_shows_what_the_daemon_is_at(daemon: Panotti) -> None:
    told = said(daemon, "status")
    assert daemon.runtime.url in told
    assert str(file(daemon).parent) in told
    assert "panotti backlog --yes" in told
    status = facts(daemon, "status")
    assert status["pid"] == daemon.runtime.pid
    assert status["url"] == daemon.runtime.url


def test_recordings_lists_files_with_state_and_reason(daemon: Panotti) -> None:
    assert f"done         {file(daemon)}: " in said(daemon, "recordings")
    page = facts(daemon, "recordings", "--state", "done")
    assert [Path(item["path"]).name for item in page["items"]] == ["sentence.wav"]
    assert "--limit shows more" in said(daemon, "recordings", "--limit", "1")
    assert said(daemon, "recordings", "--state", "failed") == "None.\n"


def test_a_closed_pipe_is_no_error_to_talk_about(daemon: Panotti) -> None:
    command = [sys.executable, "-m", "panotti_daemon", "recordings", "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, env=daemon.environment, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""


@pytest.mark.parametrize("spelling", ["absolute", "relative", "dotted", "~"])
def test_explain_takes_a_path_however_it_is_spelled(daemon: Panotti, spelling: str) -> None:
    path = file(daemon)
    spelled, folder = {
        "absolute": (str(path), "/"),
        "relative": (path.name, str(path.parent)),
        "dotted": ("../old/.././in/sentence.wav", str(path.parent)),
        "~": ("~/in/sentence.wav", "/"),
    }[spelling]
    done = subprocess.run(
        [sys.executable, "-m", "panotti_daemon", "explain", spelled, "--json"],
        env={**daemon.environment, "HOME": str(daemon.home)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["path"] == str(path)
    assert json.loads(done.stdout)["state"] == "done"


def test_explain_says_why_nothing_happened(daemon: Panotti) -> None:
    assert said(daemon, "explain", file(daemon)).startswith("done: ")
    assert "no watched folder" in said(daemon, "explain", SAMPLE)
    assert "no such file" in said(daemon, "explain", file(daemon, "nobody.wav"))
    assert "no such file" in said(daemon, "explain", "~nobody-of-this-name/x.wav")


@pytest.mark.parametrize("option", [["--watch"], ["--watch", "in", "--output"]], ids=" ".join)
def test_folders_whose_names_are_not_unicode_are_one_line(alone: Panotti, option: list[str]) -> None:
    assert "Unicode" in complaint(alone.command("run", "--no-tray", *option, os.fsdecode(b"/tmp/\xff")))


@pytest.mark.parametrize("command", ["explain", "now", "retry", "cancel"])
def test_a_name_that_is_not_unicode_is_one_line(daemon: Panotti, command: str) -> None:
    assert "Unicode" in complaint(daemon.command(command, os.fsdecode(b"/tmp/\xff.wav")))


def test_now_retry_and_cancel_steer_what_waits(daemon: Panotti) -> None:
    waiting = file(daemon, "waiting.wav")
    said(daemon, "pause")
    try:
        silence(waiting, 9)
        daemon.wait_for(waiting, FileState.READY)
        assert said(daemon, "cancel", waiting) == "Cancelled.\n"
        assert daemon.explain(waiting).state is FileState.CANCELLED
        assert said(daemon, "cancel", waiting) == "Nothing is under way for it.\n"
        assert said(daemon, "retry", waiting) == "1 recording tried again.\n"
        assert said(daemon, "now", waiting) == "It is next.\n"
    finally:
        said(daemon, "resume")
    daemon.wait_for(waiting, FileState.NO_SPEECH)
    assert "panotti explain" in said(daemon, "now", waiting)
    assert said(daemon, "retry") == "There is nothing to try again.\n"
    for command in ("now", "retry"):
        assert "no such file" in complaint(daemon.command(command, "/elsewhere/x.wav"))


def test_of_a_file_that_is_no_recording_nothing_can_be_cancelled(daemon: Panotti) -> None:
    line = complaint(daemon.command("cancel", "/elsewhere/x.wav"))
    assert line.startswith("Nothing is under way for it: there is no such file")


def test_pause_and_resume_say_until_when(daemon: Panotti) -> None:
    assert "panotti resume" in said(daemon, "pause")
    assert daemon.status().pause
    assert said(daemon, "resume") == "Resumed.\n"
    assert said(daemon, "pause", "--for", "90").startswith("Paused until ")
    later = datetime.now() + timedelta(days=2)
    assert f"{later:%A}" in said(daemon, "pause", "--for", str(2 * 24 * 60))
    pause = daemon.status().pause
    assert pause
    assert pause.until
    said(daemon, "resume")
    assert daemon.status().pause is None


def test_the_backlog_is_shown_and_answered(daemon: Panotti) -> None:
    old = daemon.home / "old"
    wait_until(lambda: facts(daemon, "backlog"), "the backlog is counted")
    assert f"2 files in {old}" in said(daemon, "backlog")
    assert f"2 files in {old}" in said(daemon, "backlog", "--folder", old)
    assert said(daemon, "backlog", "--folder", "/elsewhere") == "No files wait for a yes.\n"
    assert [(asked["folder"], asked["files"]) for asked in facts(daemon, "backlog")] == [(str(old), 2)]
    assert said(daemon, "backlog", "--skip", "--folder", "/elsewhere") == "No files wait for a yes.\n"
    assert facts(daemon, "backlog", "--skip", "--folder", old) == {"count": 2}
    assert said(daemon, "backlog") == "No files wait for a yes.\n"
    assert facts(daemon, "backlog") == []


def test_the_tray_says_in_one_line_that_there_is_no_desktop(alone: Panotti) -> None:
    assert "display" in complaint(alone.command("tray"))


def test_config_shows_where_it_is_what_holds_and_whether_it_is_right(alone: Panotti) -> None:
    assert said(alone, "config", "path") == f"{alone.paths.config_file}\n"
    alone.environment["PANOTTI_RESCAN_SECONDS"] = "77"
    assert facts(alone, "config", "show")["rescan_seconds"] == 77
    assert "rescan_seconds: 77" in said(alone, "config", "show")
    assert said(alone, "config", "check") == "The settings are fine.\n"
    alone.paths.config_file.unlink()
    assert f"There is no {alone.paths.config_file}, and none is needed." in said(alone, "config", "check")


def findings(daemon: Panotti) -> dict[str, dict[str, Any]]:
    """By name, of those with one name the last; the exit status says whether all is well."""
    done = daemon.command("doctor", "--json")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert done.returncode == (0 if all(finding["ok"] for finding in found) else 1)
    for finding in found:
        assert finding["ok"] or finding["remedy"] or finding["name"] == "daemon", finding
    return {finding["name"]: finding for finding in found}


def test_doctor_finds_nothing_missing_but_the_desktop(alone: Panotti) -> None:
    found = findings(alone)
    assert [name for name, finding in found.items() if not finding["ok"]] == ["tray", "notifications"]
    assert "apt install" in found["notifications"]["remedy"]
    assert "panotti run" in found["daemon"]["message"]
    told = alone.command("doctor").stdout
    assert "✗ tray: " in told
    assert "✓ model: tiny.en" in told


def test_doctor_asks_the_running_daemon(daemon: Panotti) -> None:
    found = findings(daemon)
    assert found["daemon"]["ok"]
    assert daemon.runtime.url in found["daemon"]["message"]


def test_doctor_names_folders_that_are_missing_or_cannot_be_written(alone: Panotti) -> None:
    blocked = alone.home / "it's blocked"
    blocked.write_text("a file")
    missing = alone.home / "not here"
    alone.configure({"watch": [{"path": str(missing), "output": str(blocked / "out")}]})
    found = findings(alone)
    assert found["recordings"]["remedy"] == f"mkdir -p '{missing}'"
    assert not found["transcripts"]["ok"]
    for name in ("recordings", "transcripts"):
        subprocess.run(["sh", "-c", found[name]["remedy"]], check=True)
    found = findings(alone)
    assert found["recordings"]["ok"]
    assert found["transcripts"]["ok"]
    alone.configure({"watch": [{"path": str(alone.home / "it's blocked.old")}]})
    assert "not a folder" in findings(alone)["recordings"]["message"]


def test_doctor_names_a_folder_that_the_system_will_not_even_look_for(alone: Panotti) -> None:
    too_long, link = alone.home / ("x" * 300), alone.home / "link"
    alone.configure({"watch": [{"path": str(too_long)}]})
    assert "is not there" in findings(alone)["recordings"]["message"]
    link.symlink_to(alone.home / "drive")
    alone.configure({"watch": [{"path": str(link)}]})
    assert findings(alone)["recordings"]["message"].endswith(f"leads to {alone.home}/drive, which is not there")


@pytest.mark.parametrize("command", ["explain", "now", "retry", "forget"])
def test_a_name_longer_than_any_files_is_one_line(daemon: Panotti, command: str) -> None:
    assert "longer than that of any file" in complaint(daemon.command(command, "x" * 300))
    assert "known by" in complaint(daemon.command("events", "show", "x" * 300))


@pytest.mark.parametrize(
    ("model", "remedy"),
    [("large-v3", "panotti models pull large-v3"), ("nonsense", "Edit "), ("/no/model", "Edit ")],
)
def test_doctor_names_a_model_that_is_not_here(alone: Panotti, model: str, remedy: str) -> None:
    alone.configure({"engine": {"model": model}})
    found = findings(alone)["model"]
    assert not found["ok"]
    assert found["remedy"].startswith(remedy)


def test_doctor_goes_on_where_the_settings_are_wrong(alone: Panotti) -> None:
    alone.configure({"nonsense": 1})
    found = findings(alone)
    assert str(alone.paths.config_file) in found["settings"]["remedy"]
    assert "tray" in found


def opener(daemon: Panotti) -> Path:
    """An xdg-open of the test's own, which notes what it is to open in this file."""
    programs, opened = daemon.home / "bin", daemon.home / "opened"
    programs.mkdir()
    (programs / "xdg-open").write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}.new"\nmv "{opened}.new" "{opened}"\n')
    (programs / "xdg-open").chmod(0o755)
    daemon.environment["PATH"] = f"{programs}{os.pathsep}{daemon.environment['PATH']}"
    return opened


def test_open_shows_a_transcript_or_the_folder_of_all(daemon: Panotti) -> None:
    opened = opener(daemon)
    recording = daemon.home / "in" / "sentence.wav"
    for arguments, shown in (
        ([recording], daemon.transcripts / "sentence.txt"),
        ([recording, "--folder"], daemon.transcripts),
        ([], daemon.transcripts),
    ):
        opened.unlink(missing_ok=True)
        assert said(daemon, "open", *arguments).strip().startswith("Opening ")
        wait_until(opened.exists, "it was opened")
        assert opened.read_text() == str(shown)


def test_what_cannot_be_told_by_a_notification_is_told_in_the_terminal_alone(daemon: Panotti) -> None:
    done = daemon.command("desktop", "transcribe", daemon.home / "nobody.wav")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("nobody.wav cannot be transcribed\n")


def test_files_that_are_opened_with_wrong_settings_say_so_and_start_nothing(alone: Panotti) -> None:
    alone.configure({"nonsense": 1})
    assert "nonsense" in complaint(alone.command("desktop", "transcribe", SENTENCE))


def test_open_says_how_the_folder_of_transcripts_comes_to_be(alone: Panotti) -> None:
    line = complaint(alone.command("open"))
    assert line.startswith(f"There is nothing to open: {alone.transcripts} is not there.")
    assert "`panotti run`" in line
    assert str(alone.recordings) in line


def test_open_says_why_there_is_nothing_to_open(daemon: Panotti) -> None:
    untouched = daemon.home / "old" / "old0.wav"
    line = f"There is nothing to open: {untouched} has no transcript: "
    assert complaint(daemon.command("open", untouched)).startswith(line)


def test_transcribe_prints_the_text_and_nothing_else_without_a_daemon(alone: Panotti) -> None:
    text = said(alone, "transcribe", SENTENCE)
    assert word_error_rate(WORDS, text) <= 0.2
    assert not alone.paths.state.exists()


def test_transcribe_takes_several_files_in_their_order(alone: Panotti) -> None:
    paths = list(SENTENCES)[:2]
    assert word_error_rate(" ".join(SENTENCES[path] for path in paths), said(alone, "transcribe", *paths)) <= 0.2


def test_transcribe_writes_the_other_formats(alone: Panotti) -> None:
    assert list(srt.parse(said(alone, "transcribe", SENTENCE, "--format", "srt"), ignore_errors=False))
    assert json.loads(said(alone, "transcribe", SENTENCE, "-f", "json"))["segments"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_transcribe_writes_json_of_a_file_whose_name_is_not_unicode(alone: Panotti) -> None:
    odd = alone.home / os.fsdecode(b"\xff.wav")
    shutil.copy(SENTENCE, odd)
    assert json.loads(said(alone, "transcribe", odd, "-f", "json"))["segments"]


def test_transcribe_says_in_one_line_what_is_wrong_with_a_file(alone: Panotti) -> None:
    text = alone.home / "notes.wav"
    text.write_text("no sound in it")
    for path in (text, alone.home, alone.home / "nobody.wav", Path("/dev/null"), Path(os.fsdecode(b"/tmp/\xff.wav"))):
        complaint(alone.command("transcribe", path))
    assert "large-v3" in complaint(alone.command("transcribe", SENTENCE, "--model", "large-v3"))
    assert "nonsense" in complaint(alone.command("transcribe", SENTENCE, "--model", "nonsense"))
    foreign = alone.command("transcribe", SENTENCE, "--language", "english")
    assert (foreign.returncode, foreign.stdout) == (2, "")
    assert "must be auto or the code of a language, such as en" in foreign.stderr


def test_transcribe_says_which_files_it_cannot_and_goes_on_with_the_others(alone: Panotti) -> None:
    text, too_long = alone.home / "notes.wav", alone.home / ("x" * 300)
    text.write_text("no sound in it")
    done = alone.command("transcribe", "~/nobody.wav", text, too_long, alone.home, SENTENCE)
    assert done.returncode == 1
    assert word_error_rate(WORDS, done.stdout) <= 0.2
    assert done.stderr.splitlines() == [
        f"{Path.home() / 'nobody.wav'} cannot be transcribed: there is no such file",
        f"{text} cannot be transcribed: it is text, not a recording",
        f"{too_long} cannot be transcribed: it cannot be read (File name too long)",
        f"{alone.home} cannot be transcribed: it is a folder",
    ]


def test_words_for_a_transcription_that_are_not_unicode_are_wrong_usage(alone: Panotti) -> None:
    done = alone.command("transcribe", SENTENCE, "--vocabulary", os.fsdecode(b"\xff"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be valid Unicode" in done.stderr


def test_transcribe_draws_its_progress_on_the_terminal_and_keeps_stdout_clean(alone: Panotti) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "panotti_daemon", "transcribe", str(SENTENCE)],
        env={**alone.environment, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    text, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert SENTENCE.name.encode() in drawn
    assert "\x1b" not in text
    assert word_error_rate(WORDS, text) <= 0.2


def test_ctrl_c_ends_a_transcription_quietly_and_leaves_no_engine(alone: Panotti) -> None:
    long = alone.home / "long.wav"
    librivox_clip(long, times=20)
    process = subprocess.Popen(
        [sys.executable, "-m", "panotti_daemon", "transcribe", str(long)],
        env=alone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: _busy(process.pid), "the engine is at work")
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (130, "", "")
    gone, left = psutil.wait_procs(children, timeout=PATIENCE)
    assert gone
    assert not left


@pytest.mark.skipif(os.name == "nt", reason="terminals hang up on POSIX")
def is_ready(daemon: Panotti) -> bool:
    return daemon.request("GET", "/health/ready").status_code == 200


def test_a_reader_that_goes_away_does_not_end_the_daemon(alone: Panotti) -> None:
    with run_in(alone) as process:
        assert process.stdout
        process.stdout.close()
        wait_until(lambda: alone.paths.runtime_file.exists() and is_ready(alone), "it runs")
        assert said(alone, "stop") == "Panotti has stopped.\n"
        assert process.wait(timeout=PATIENCE) == 0


def test_closing_the_terminal_ends_the_daemon_as_a_stop_does(alone: Panotti) -> None:
    with run_in(alone) as process:
        wait_until(alone.paths.runtime_file.exists, "it runs")
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert not alone.paths.runtime_file.exists()


def test_a_plugin_that_does_not_come_up_does_not_hold_up_the_stop(alone: Panotti) -> None:
    folder = alone.paths.plugins / "slow"
    folder.mkdir(parents=True)
    (folder / "plugin.yaml").write_text("{name: slow, version: 1.0.0, api_version: 1, description: Never comes up.}")
    (folder / "plugin.py").write_text(SLOW_PLUGIN)
    with run_in(alone) as process:
        wait_until((folder / "initializing").exists, "the plugin is on its way")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")


def _busy(pid: int) -> bool:
    """Whether a child has loaded the model and does what takes long."""
    return any(child.memory_info().rss > 150_000_000 for child in psutil.Process(pid).children())


def _heeds_hangups() -> None:
    """The tests themselves may run under nohup, whose children do not."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def run_in(home: Panotti, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "panotti_daemon", "run", "--port", "0", "--no-tray", *arguments],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heeds_hangups,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_run_says_where_to_drop_recordings_and_stop_ends_it(alone: Panotti) -> None:
    watched, output = alone.home / "a", alone.home / "b"
    watched.mkdir()
    with run_in(alone, "--watch", str(watched), "--output", str(output)) as process:
        wait_until(lambda: alone.paths.runtime_file.exists() and alone.status().folders, "it runs")
        assert said(alone, "stop") == "Panotti has stopped.\n"
        told, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert told.startswith("Panotti is running.\n")
    assert f"Drop recordings into {watched}; transcripts go to {output}\n" in told
    assert not alone.paths.runtime_file.exists()
    assert "panotti run" in complaint(alone.command("stop"))


def test_run_asks_for_no_recordings_in_a_folder_that_is_not_there(alone: Panotti) -> None:
    there, missing = alone.home / "a", alone.home / "b"
    there.mkdir()
    with run_in(alone, "--watch", str(there), "--watch", str(missing)) as process:
        wait_until(lambda: alone.paths.runtime_file.exists() and alone.status().folders, "it runs")
        said(alone, "stop")
        told, _ = process.communicate(timeout=PATIENCE)
    assert f"Drop recordings into {there}; " in told
    assert f"Drop recordings into {missing}; " not in told
    assert f"{missing}: the folder is not there; it is watched as soon as it is" in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["config", "show"], ["transcribe", str(SENTENCE)]], ids=" ".join)
def test_output_onto_a_full_disk_is_one_line(alone: Panotti, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "panotti_daemon", *arguments],
            env=alone.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_any_moment_of_the_start_ends_it_without_a_traceback(
    alone: Panotti, number: signal.Signals
) -> None:
    """The moments are states of the start that can be seen from outside; the first is right after the fork."""
    paths = alone.paths
    moments: list[Callable[[], bool]] = [
        lambda: True,
        paths.lock_file.exists,
        paths.database.exists,
        paths.runtime_file.exists,
    ]
    for has_come in moments:
        for folder in (paths.state, paths.data, paths.runtime, paths.transcripts, paths.recordings):
            shutil.rmtree(folder, ignore_errors=True)
        with run_in(alone) as process:
            while not has_come():
                assert process.poll() is None
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
        assert errors == ""
        assert process.returncode in (0, -number, 128 + number)
        assert not paths.runtime_file.exists()
    with alone:
        assert alone.status().pid
