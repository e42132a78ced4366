from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from panotti_daemon.core.plugins.at_work import AtWork, End
from panotti_daemon.core.plugins.crashes import FIRST_REST, LONGEST_REST, WINDOW, Crashes, Ends
from tests.unit.core.events.scene import NOW, Scene, play


def after(*ends: tuple[timedelta, End]) -> Ends:
    """What is known after ends at these times."""
    known = Ends()
    for moment, end in ends:
        known = known.after(end, NOW + moment)
    return known


MINUTE = timedelta(minutes=1)


def test_the_third_end_within_the_window_makes_a_plugin_rest() -> None:
    twice = after((0 * MINUTE, End.CRASH), (1 * MINUTE, End.CRASH))
    assert twice.rest(NOW + MINUTE) is None
    rest = twice.after(End.CRASH, NOW + 2 * MINUTE).rest(NOW + 2 * MINUTE)
    assert rest
    assert rest.reason == "Panotti ended 3 times within an hour while its code ran"
    assert rest.until == NOW + 2 * MINUTE + FIRST_REST


def test_ends_that_lie_far_apart_do_not_add_up() -> None:
    assert after(*((n * WINDOW, End.CRASH) for n in range(20))).until is None


def test_a_block_makes_a_plugin_rest_at_once() -> None:
    rest = after((0 * MINUTE, End.BLOCKED)).rest(NOW)
    assert rest
    assert rest.reason == "it kept Panotti from everything else"


def test_each_rest_is_twice_as_long_up_to_a_day_until_all_is_well_for_long() -> None:
    known, now, lengths = Ends(), NOW, []
    for _ in range(12):
        known = known.after(End.BLOCKED, now)
        assert known.until
        lengths.append(known.until - now)
        now = known.until
    assert lengths[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert lengths[-1] == LONGEST_REST
    known = known.after(End.BLOCKED, now + 3 * LONGEST_REST)
    assert known.until == now + 3 * LONGEST_REST + FIRST_REST


def left_over(folder: Path, name: str, memory: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(memory)


@pytest.fixture
def at_work(tmp_path: Path) -> Path:
    return tmp_path / "at-work"


def play_start(tmp_path: Path, act: Callable[[Crashes, Scene], Awaitable[None]]) -> None:
    """As a start of the daemon does it: the process before has left its marks."""

    async def start(s: Scene) -> None:
        crashes = Crashes(s.database, AtWork(tmp_path / "at-work"), s.clock)
        await act(crashes, s)

    play(tmp_path / "panotti.db", start)


def test_what_a_plugin_did_is_known_over_restarts_until_its_user_forgives_it(tmp_path: Path, at_work: Path) -> None:
    async def crashed(crashes: Crashes, s: Scene) -> None:
        begun = await crashes.account()
        assert crashes.culprits == {"bad"}
        assert crashes.rest_of("good") is None
        told.append("bad" in begun)

    async def at_rest(crashes: Crashes, s: Scene) -> None:
        assert await crashes.account() == {}
        assert crashes.culprits == frozenset()
        assert crashes.rest_of("bad")
        s.clock.advance(FIRST_REST.total_seconds())
        assert crashes.rest_of("bad") is None
        s.clock.advance(-60)
        await crashes.forgive("bad")
        assert crashes.rest_of("bad") is None

    async def forgiven(crashes: Crashes, s: Scene) -> None:
        await crashes.account()
        assert crashes.rest_of("bad") is None

    told: list[bool] = []
    for _ in range(3):
        left_over(at_work, "bad", b"\1\0\0")
        left_over(at_work, "good", b"\0\0\0")
        play_start(tmp_path, crashed)
    assert told == [False, False, True]
    play_start(tmp_path, at_rest)
    play_start(tmp_path, forgiven)


def test_marks_that_make_no_sense_do_not_keep_the_daemon_from_starting(tmp_path: Path, at_work: Path) -> None:
    async def act(crashes: Crashes, s: Scene) -> None:
        assert await crashes.account() == {}

    left_over(at_work, "empty", b"")
    play_start(tmp_path, act)
    assert list(at_work.iterdir()) == []
