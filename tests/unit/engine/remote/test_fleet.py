from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

import pytest

from panotti_daemon.engine.remote.fleet import (
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    PATIENCE_SECONDS,
    Fleet,
    ServerFailed,
    ServerMisfit,
)
from panotti_daemon.errors import ServerUnavailable
from panotti_daemon.settings.servers import Server


def server(name: str, at_once: int = 1) -> Server:
    return Server(url=f"http://{name}.lan", at_once=at_once)


ONE, TWO, BIG = server("one"), server("two"), server("big", at_once=4)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def fail(fleet: Fleet, error: Exception | None = None) -> Server:
    with suppress(ServerFailed, ServerMisfit), fleet.server() as found:
        raise error or ServerFailed(f"{found.name} is broken")
    return found


def ask(fleet: Fleet) -> Server:
    with fleet.server() as found:
        return found


def test_the_least_busy_server_is_next_and_of_equals_the_first() -> None:
    fleet = Fleet([ONE, BIG])
    with ExitStack() as stack:
        taken = [stack.enter_context(fleet.server()) for _ in range(5)]
    assert taken == [ONE, BIG, BIG, BIG, BIG]


def test_who_finds_all_busy_waits_for_the_first_that_is_free() -> None:
    fleet = Fleet([ONE, TWO])
    found: list[Server] = []
    with fleet.server():
        with fleet.server():
            waiting = threading.Thread(target=lambda: found.append(ask(fleet)))
            waiting.start()
            assert not found
        waiting.join()
    assert found == [TWO]


def test_a_server_that_failed_rests_and_the_other_is_asked() -> None:
    clock = Clock()
    fleet = Fleet([ONE, TWO], now=clock)
    assert fail(fleet) == ONE
    assert ask(fleet) == TWO
    clock.time += FIRST_REST_SECONDS
    assert ask(fleet) == ONE


def test_each_failure_in_a_row_doubles_the_rest_up_to_a_limit() -> None:
    clock = Clock()
    fleet = Fleet([ONE, TWO], now=clock)
    for rest in (1, 2, 4, 8, 16, 32, LONGEST_REST_SECONDS, LONGEST_REST_SECONDS):
        assert fail(fleet) == ONE
        clock.time += rest - 0.25
        assert ask(fleet) == TWO
        clock.time += 0.25


def test_a_server_that_is_off_for_days_is_still_asked_once_a_minute() -> None:
    clock = Clock()
    fleet = Fleet([ONE, TWO], now=clock)
    for _ in range(3000):
        assert fail(fleet) == ONE
        clock.time += LONGEST_REST_SECONDS


def test_a_success_beside_a_failure_does_not_hide_why_the_server_rests() -> None:
    fleet = Fleet([BIG])
    with fleet.server():
        fail(fleet, ServerFailed("big is busy", retry_after=PATIENCE_SECONDS + 60))
    with pytest.raises(ServerUnavailable, match="big is busy"):
        ask(fleet)


def test_calls_that_fail_together_count_as_one_failure() -> None:
    clock = Clock()
    fleet = Fleet([BIG, ONE], now=clock)
    with suppress(ServerFailed), fleet.server() as first:
        with fleet.server():
            assert (first, fail(fleet)) == (BIG, BIG)
        raise ServerFailed("this one, too")
    assert ask(fleet) == ONE
    clock.time += FIRST_REST_SECONDS
    assert ask(fleet) == BIG


def test_a_server_rests_as_long_as_it_asks_for_and_a_success_does_not_wake_it() -> None:
    clock = Clock()
    fleet = Fleet([BIG, ONE], now=clock)
    with fleet.server() as slow, fleet.server():
        assert (slow, fail(fleet, ServerFailed("too many", retry_after=30))) == (BIG, BIG)
    clock.time += 29
    assert ask(fleet) == ONE
    clock.time += 1
    assert ask(fleet) == BIG


def test_one_that_rests_alone_is_waited_for() -> None:
    fleet = Fleet([ONE])
    fail(fleet, ServerFailed("busy", retry_after=0.01))
    assert ask(fleet) == ONE


def test_nobody_waits_for_servers_that_rest_for_long_but_is_told_why() -> None:
    fleet = Fleet([ONE, TWO])
    fail(fleet, ServerFailed("one is busy", retry_after=PATIENCE_SECONDS + 60))
    fail(fleet, ServerMisfit("two wants a key"))
    with pytest.raises(ServerUnavailable, match="one is busy; two wants a key"):
        ask(fleet)


def test_a_server_that_does_not_fit_is_tried_again_by_the_next_job() -> None:
    fleet = Fleet([ONE, TWO])
    assert fail(fleet, ServerMisfit("no such model")) == ONE
    assert ask(fleet) == TWO
    fleet.begin()
    assert ask(fleet) == ONE


def test_what_is_not_the_servers_fault_costs_it_nothing() -> None:
    fleet = Fleet([ONE, TWO])
    with suppress(KeyError), fleet.server():
        raise KeyError
    assert ask(fleet) == ONE
