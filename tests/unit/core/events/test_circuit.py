from __future__ import annotations

from datetime import timedelta

from panotti_daemon.core.events.circuit import FAILURES, FIRST_REST, LONGEST_REST, Circuit
from tests.unit.core.events.scene import NOW


def opened() -> Circuit:
    circuit = Circuit()
    for number in range(FAILURES):
        circuit.failed(f"event {number}", "no luck", NOW)
    return circuit


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    circuit = Circuit()
    rests = [circuit.failed(f"event {number}", "no luck", NOW) for number in range(FAILURES)]
    assert rests[:-1] == [None] * (FAILURES - 1)
    assert rests[-1] == circuit.rest
    assert circuit.is_resting(NOW)


def test_a_success_between_failures_keeps_it_closed() -> None:
    circuit = Circuit()
    for number in range(FAILURES - 1):
        circuit.failed(f"event {number}", "no luck", NOW)
    circuit.succeeded()
    assert circuit.failed("event", "no luck", NOW) is None


def test_one_event_that_nobody_could_handle_does_not_open_it() -> None:
    circuit = Circuit()
    assert [circuit.failed("the same", "no luck", NOW) for _ in range(50)] == [None] * 50
    assert circuit.failed("another", "no luck", NOW)


def test_what_still_fails_during_a_rest_does_not_prolong_it() -> None:
    circuit = opened()
    assert circuit.failed("late", "no luck", NOW) is None
    assert not circuit.is_resting(NOW + FIRST_REST)


def test_each_rest_is_twice_as_long_up_to_the_longest_until_something_succeeds() -> None:
    circuit, now, lengths = opened(), NOW, []
    for _ in range(20):
        assert circuit.rest
        lengths.append(circuit.rest.until - now)
        now = circuit.rest.until
        assert circuit.failed("probe", "no luck", now)
    assert lengths[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert lengths[-1] == LONGEST_REST
    circuit.succeeded()
    assert not circuit.is_resting(now)
    assert circuit.rest is None


def test_a_clock_that_is_set_back_does_not_make_a_rest_longer_than_any() -> None:
    assert not opened().is_resting(NOW - timedelta(days=1))
