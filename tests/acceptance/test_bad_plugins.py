"""Plugins that do every bad thing, in one daemon beside good ones, which notice nothing."""

from __future__ import annotations

import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

import httpx2
import pytest

from tests.bad_plugins import ASKS, BAD, DEADLY, NOTES, handled, install
from tests.daemon import Panotti, wait_until

GOOD = ("good", "better")
TIMES = 20
STOPPED_WITHIN = 15.0
"""Seconds, for a busy machine; five are promised."""


def equip(daemon: Panotti, bad: dict[str, str], **manifest: object) -> Panotti:
    install(daemon.home, "asker", ASKS)
    for name in GOOD:
        install(daemon.home, name, NOTES, subscribes=["asker.*"])
    for name, body in bad.items():
        install(daemon.home, name, body, **{"subscribes": [f"asker.{name}", "asker.all"], **manifest})
    return daemon


def ask(daemon: Panotti, what: str, times: int = 1) -> None:
    daemon.post(f"/plugins/asker/actions/{what}", {"times": times})


def asked(daemon: Panotti) -> list[str]:
    """The ids of all events that were asked for, in their order."""
    with closing(sqlite3.connect(f"{daemon.paths.database.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT id FROM events WHERE source_plugin = 'asker' ORDER BY sequence").fetchall()
    return [row[0] for row in rows]


def has_all(daemon: Panotti, name: str) -> bool:
    return set(handled(daemon.home, name)) == set(asked(daemon))


def states(daemon: Panotti) -> dict[str, str]:
    return {plugin.name: plugin.state for plugin in daemon.status().plugins}


def reason(daemon: Panotti, name: str) -> str:
    return next(plugin.reason or "" for plugin in daemon.status().plugins if plugin.name == name)


def supervise(daemon: Panotti, until: Callable[[], bool]) -> None:
    """Starts it whenever it has ended, as whoever keeps services alive does."""

    def reached() -> bool:
        with suppress(AssertionError, httpx2.TransportError, OSError, ValueError):
            if daemon.process is None or daemon.process.poll() is not None:
                daemon.start()
            return until()
        return False

    wait_until(reached, "the daemon stays alive")


def test_good_plugins_notice_nothing_of_bad_ones(panotti: Callable[..., Panotti]) -> None:
    daemon = equip(panotti(), BAD, silence_seconds=0.5, retry_seconds=0.01, max_attempts=2)
    with daemon:
        started = daemon.process
        ask(daemon, "all", TIMES)
        for name in GOOD:
            wait_until(partial(has_all, daemon, name), f"{name} has handled all")
            assert handled(daemon.home, name) == asked(daemon), "once each, in their order"
        failing = set(BAD) - {"no_start", "no_health", "no_end", "disobeys", "slow_thread", "fills_the_pool", "hangs"}
        wait_until(lambda: all(states(daemon)[name] == "resting" for name in failing), "they rest")
        found = states(daemon)
        assert found["no_start"] == "failed"
        assert {found[name] for name in (*GOOD, "asker", "transcription_local")} == {"running"}
        reasons = {name: reason(daemon, name) for name in failing}
        for name, words in {
            "exits": "It raised SystemExit",
            "endless": "may return 1000 events, not more",
            "floods": "announces more than",
            "huge": "256 are allowed",
            "foreign": "RecordingReady",
            "shouts": "may not emit other.shouted",
            "wrong_answer": "must return a list of events",
        }.items():
            assert words in reasons[name]
        assert {event["plugin"] for event in daemon.events("daemon.plugin_rests")} >= failing
        assert daemon.process is started
        assert started
        started.terminate()
        assert started.wait(STOPPED_WITHIN) == 0
    with daemon:
        for name in GOOD:
            assert handled(daemon.home, name) == asked(daemon), "nothing twice"
    assert "a plugin's code ended the process" not in daemon.log(), "a stop is nobody's fault"


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot become another one there")
def test_a_plugin_that_blocks_the_daemon_rests_and_the_daemon_starts_itself_afresh(
    panotti: Callable[..., Panotti],
) -> None:
    daemon = equip(panotti({"plugins_block_seconds": 2}), {"blocks": DEADLY["blocks"]})
    with daemon:
        assert daemon.process
        ask(daemon, "blocks")
        supervise(daemon, lambda: states(daemon)["blocks"] == "resting")
        assert daemon.process.pid == daemon.runtime.pid
        ask(daemon, "all", TIMES)
        for name in GOOD:
            wait_until(partial(has_all, daemon, name), f"{name} has handled all")
        (blocked,) = [line for line in daemon.log_lines() if "run_blocking" in line["event"]]
        assert blocked["plugin"] == "blocks"
        assert blocked["place"].endswith("blocks/plugin.py:6")
        assert daemon.command("plugins", "disable", "blocks").returncode == 0


@pytest.mark.parametrize("name", ["leaves", "crashes"])
def test_a_plugin_that_ends_the_process_three_times_rests(panotti: Callable[..., Panotti], name: str) -> None:
    daemon = equip(panotti(), {name: DEADLY[name]})
    with daemon:
        ask(daemon, "all", 2)
        supervise(daemon, lambda: states(daemon)[name] == "resting")
        assert "3 times" in reason(daemon, name)
        ask(daemon, "all", TIMES)
        for good in GOOD:
            wait_until(partial(has_all, daemon, good), f"{good} has handled all")
        assert [event["plugin"] for event in daemon.events("daemon.plugin_rests")] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_a_daemon_that_a_plugin_blocks_can_be_stopped(panotti: Callable[..., Panotti]) -> None:
    daemon = equip(panotti(), {"blocks": DEADLY["blocks"]})
    with daemon:
        ask(daemon, "blocks")
        wait_until(lambda: "run_blocking" in daemon.log(), "it is blocked")
        assert daemon.process
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(STOPPED_WITHIN) == 0
        assert not daemon.paths.runtime_file.exists()
    daemon.configure({"plugins": {"blocks": {"enabled": False}}})
    with daemon:
        assert states(daemon)["good"] == "running"
