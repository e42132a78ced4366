"""`panotti events`: what happened is seen, followed, replayed and given up, with a daemon that did the real work."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.choices import FileState
from tests.daemon import PATIENCE, Panotti, wait_until
from tests.speech import SAMPLE

SAID = "what was said in confidence"

FILER = f"""
from pathlib import Path

from panotti_daemon.core.plugins import Event, PermanentError, PluginBase


class Plugin(PluginBase):
    async def initialize(self) -> None:
        await self.publish(Event.create("filer.opened", {{"excerpt": "{SAID}"}}, source_plugin="filer"))

    async def handle(self, event: Event) -> list[Event]:
        if not Path(__file__).with_name("mended").exists():
            raise PermanentError("the cabinet is locked")
        return [self.create_child_event(event, "filer.filed", {{}})]
"""
MANIFEST = """
{name: filer, version: 1.0.0, api_version: 1, description: Files transcripts., emits: [filer.opened, filer.filed],
 subscribes: [filer.opened, transcription_local.completed]}
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Panotti]:
    """Its plugin `filer` has published an event, and failed at it."""
    with with_filer(tmp_path / "home") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panotti]:
    """As `daemon`, for tests that only look."""
    with with_filer(tmp_path_factory.mktemp("unchanged") / "home") as daemon:
        yield daemon


@contextmanager
def with_filer(home: Path) -> Iterator[Panotti]:
    home.mkdir()
    daemon = Panotti(home, {"plugins": {"desktop_notifier": {"enabled": False}}})
    folder = daemon.paths.plugins / "filer"
    folder.mkdir(parents=True)
    (folder / "plugin.yaml").write_text(MANIFEST)
    (folder / "plugin.py").write_text(FILER)
    with daemon:
        wait_until(lambda: daemon.get("/journal/dead"), "the plugin has failed")
        yield daemon


def mend(daemon: Panotti) -> None:
    (daemon.paths.plugins / "filer" / "mended").touch()


def said(daemon: Panotti, *arguments: str | Path) -> str:
    done = daemon.command("events", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def facts(daemon: Panotti, *arguments: str | Path) -> Any:
    return json.loads(said(daemon, *arguments, "--json"))


def complaint(daemon: Panotti, *arguments: str | Path) -> str:
    done = daemon.command("events", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    return done.stderr


def names(daemon: Panotti) -> list[str]:
    return [event["name"] for event in facts(daemon, "list")["items"]]


def drawn(daemon: Panotti, what: str | Path) -> list[tuple[int, str]]:
    """The branches of the tree, each with how deep it is."""
    heading, *branches = said(daemon, "show", what).splitlines()
    assert "  correlation " in heading
    return [((len(line) - len(line.lstrip("│├└─ "))) // 4, line.lstrip("│├└─ ").split("  ")[0]) for line in branches]


def test_what_happened_is_listed_the_newest_first(unchanged: Panotti) -> None:
    first, second = said(unchanged, "list").splitlines()
    assert first.endswith("  filer.error  for nobody")
    assert second.endswith("  filer.opened  filer dead")
    assert said(unchanged, "list", "--name", "*.error", "--since", "1h") == first + "\n"
    assert said(unchanged, "list", "--state", "dead", "--plugin", "filer") == second + "\n"
    assert said(unchanged, "list", "--until", "1h") == "None.\n"
    page, more = said(unchanged, "list", "--limit", "1").splitlines()
    assert page == first
    assert said(unchanged, "list", *more.split()[-2:]) == second + "\n"


def test_data_are_shown_of_one_event_and_nowhere_else(unchanged: Panotti) -> None:
    event = facts(unchanged, "list")["items"][1]
    shown = facts(unchanged, "show", event["id"][-8:])
    assert shown["event"]["data"] == {"excerpt": SAID}
    assert [each["name"] for each in shown["correlation"]] == ["filer.opened", "filer.error"]
    told = said(unchanged, "show", event["id"])
    assert SAID in told
    assert "└── filer: dead: the cabinet is locked" in told
    for arguments in (["list"], ["dead"], ["replay", "--name", "*", "--dry-run"]):
        assert SAID not in said(unchanged, *arguments) + json.dumps(facts(unchanged, *arguments))


def test_what_died_is_retried_once_its_cause_is_mended(daemon: Panotti) -> None:
    assert "filer after 1 attempt: the cabinet is locked" in said(daemon, "dead")
    (letter,) = facts(daemon, "dead")
    assert facts(daemon, "dead", "--plugin", "transcription_local") == []
    mend(daemon)
    assert said(daemon, "dead", letter["event"]["id"][-8:], "--retry") == "1 delivery queued again.\n"
    wait_until(lambda: "filer.filed" in names(daemon), "the plugin has filed it")
    assert said(daemon, "dead") == "None.\n"
    assert names(daemon).count("filer.error") == 1


def test_what_died_is_given_up_only_after_a_yes(daemon: Panotti) -> None:
    assert "--yes" in complaint(daemon, "dead", "--discard")
    assert said(daemon, "dead", "--discard", "--yes") == "1 delivery discarded.\n"
    assert facts(daemon, "dead") == []
    (event,) = facts(daemon, "list", "--name", "filer.opened")["items"]
    assert [(d["state"], d["error"]) for d in event["deliveries"]] == [("done", "discarded")]


def test_a_recording_is_drawn_and_replayed_without_being_decoded_again(daemon: Panotti) -> None:
    mend(daemon)
    talk = daemon.recordings / "talk.wav"
    shutil.copy(SAMPLE, talk)
    daemon.wait_for(talk, FileState.DONE)
    wait_until(lambda: "filer.filed" in names(daemon), "the plugin has filed it")
    assert drawn(daemon, talk) == [
        (1, "recording.ready"),
        (2, "transcription_local: done"),
        (3, "transcription_local.completed"),
        (4, "filer: done"),
        (5, "filer.filed"),
    ]
    correlation = {event["correlation_id"] for event in facts(daemon, "list", "--correlation", talk)["items"]}
    assert correlation == {daemon.explain(talk).recording_id}
    plan = facts(daemon, "replay", talk, "--dry-run")
    assert (plan["events"], plan["deliveries"], plan["on_their_way"]) == (2, {"transcription_local": 1, "filer": 1}, 0)
    assert "--yes" in complaint(daemon, "replay", talk)
    assert names(daemon).count("filer.filed") == 1

    told = said(daemon, "replay", talk, "--to", "transcription_local", "--yes")
    assert "1 event to be delivered again: 1 to transcription_local." in told
    assert told.endswith("1 delivery queued.\n")
    wait_until(lambda: names(daemon).count("filer.filed") == 2, "what it set off has been handled")
    first, second = daemon.events("transcription_local.completed")
    assert first["transcription"]["timestamp"] == second["transcription"]["timestamp"]
    assert daemon.explain(talk).state is FileState.DONE


def test_a_person_at_a_terminal_is_asked(daemon: Panotti) -> None:
    mend(daemon)

    def asked(answer: bytes) -> str:
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer)
            return subprocess.run(
                [daemon.python, "-m", "panotti_daemon", "events", "replay", "--name", "filer.opened"],
                env=daemon.environment,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
            ).stdout
        finally:
            os.close(ours)
            os.close(theirs)

    refused = asked(b"n\n")
    assert "1 event to be delivered again" in refused
    assert "queued" not in refused
    assert "1 delivery queued." in asked(b"y\n")
    wait_until(lambda: "filer.filed" in names(daemon), "it is delivered again")


def test_what_passes_is_followed_until_somebody_has_seen_enough_or_the_daemon_ends(daemon: Panotti) -> None:
    mend(daemon)
    with following(daemon, "--json", "--name", "*.filed", "--data") as (process, seen):

        def filed() -> bool:
            said(daemon, "replay", "--name", "filer.opened", "--yes")
            return '"filer.filed"' in seen.read_text()

        wait_until(filed, "what the replayed event sets off passes")
        message = json.loads(seen.read_text().splitlines()[0])
        assert (message["kind"], message["source_plugin"], message["data"]) == ("event", "filer", {})
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    with following(daemon) as (process, seen):

        def seen_some() -> bool:
            said(daemon, "replay", "--name", "filer.opened", "--yes")
            return "filer.filed" in seen.read_text()

        wait_until(seen_some, "it listens")
        daemon.stop()
        assert process.wait(PATIENCE) == 0


def test_a_reader_that_leaves_ends_the_following_without_a_complaint(daemon: Panotti) -> None:
    mend(daemon)
    process = subprocess.Popen(
        [daemon.python, "-X", "dev", "-m", "panotti_daemon", "events", "tail"],
        env=daemon.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()

    def is_over() -> bool:
        said(daemon, "replay", "--name", "filer.opened", "--yes")
        return process.poll() is not None

    wait_until(is_over, "it finds that nobody reads")
    assert process.stderr.read() == b""
    process.stderr.close()


@contextmanager
def following(daemon: Panotti, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    output = daemon.home / "tail.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [daemon.python, "-m", "panotti_daemon", "events", "tail", *arguments],
            env=daemon.environment,
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield process, output
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nothing"], "No event, correlation or file is known by nothing."),
        (["show", "/nowhere/talk.wav"], "is no recording: there is no such file"),
        (["replay", "--yes"], "Say which events"),
        (["replay", "--name", "*", "--to", "filler"], "No plugin filler gets events now; did you mean filer?"),
        (["dead", "nothing"], "No event, correlation or file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(unchanged: Panotti, arguments: list[str], words: str) -> None:
    assert words in complaint(unchanged, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [["list", "--since", "soon"], ["list", "--since", "999999w"], ["dead", "--retry", "--discard"], ["replay", "-x"]],
)
def test_wrong_usage_is_told_from_failure(unchanged: Panotti, arguments: list[str]) -> None:
    assert unchanged.command("events", *arguments).returncode == 2
