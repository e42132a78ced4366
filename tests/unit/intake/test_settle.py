"""Writers of every habit against a clock that stands still until it is told to go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panotti_daemon.intake.headers import KEPT, NO_PROMISE, UNKNOWN_LENGTH, Promise
from panotti_daemon.intake.settle import INCOMPLETE_AFTER, Look, Proof, Settled, Settler

CALL = Path("/recordings/call.wav")
CUT_SHORT = Promise(kept=False, detail="its header promises 20.0 s, 2.0 s are there")


@dataclass(frozen=True)
class State:
    """A file as it is on the disk."""

    size: int = 100
    mtime_ns: int = 0
    inode: int = 1
    held: bool | None = False
    promise: Promise | None = KEPT
    unreadable: str | None = None


Step = tuple[float, State | None]
"""From this time on the file is so; None: it is gone."""


@dataclass
class World:
    """Plays the daemon's part: looks when the settler says so, and proves when it asks for it."""

    steps: list[Step]
    settler: Settler = field(default_factory=Settler)
    now: float = 0.0
    looks: int = 0
    proofs: list[float] = field(default_factory=list)
    settled: list[tuple[float, Settled]] = field(default_factory=list)

    def state(self) -> State | None:
        return next((state for since, state in reversed(self.steps) if since <= self.now), None)

    def look(self) -> Look | None:
        self.looks += 1
        state = self.state()
        return None if state is None else Look(state.size, state.mtime_ns, state.inode)

    def prove(self) -> Proof:
        self.proofs.append(self.now)
        state = self.state()
        if state is None:
            return Proof(None, held_open=None, promise=None, unreadable="No such file or directory")
        return Proof(self.look(), state.held, None if state.held else state.promise, state.unreadable)

    def run(self, until: float) -> World:
        while (due := self.settler.next_due()) is not None and due <= until:
            assert due >= self.now
            self.now = due
            for path in self.settler.due(self.now):
                if self.settler.looked(path, self.look(), self.now):
                    settled = self.settler.proved(path, self.prove(), self.now)
                    if settled is not None:
                        self.settled.append((self.now, settled))
        self.now = until
        return self


def watch(*steps: Step, settle_seconds: float = 2.0) -> World:
    world = World(list(steps))
    world.settler.watch(CALL, settle_seconds, at=0.0)
    return world


def growing(times: Iterable[float], state: State) -> list[Step]:
    """Grows at each of these times."""
    return [(at, replace(state, size=100 + index, mtime_ns=index)) for index, at in enumerate(times)]


WRITING = State(held=True)
WHOLE = State(size=1_000, mtime_ns=99)

SCENARIOS: dict[str, tuple[list[Step], tuple[float, float], bool]] = {
    # What the writer does; between when and when the file settles; and whether as incomplete.
    "a file that was there before": ([(0, WHOLE)], (2.0, 2.0), False),
    "a steady writer that holds the file": ([*growing(range(20), WRITING), (20, WHOLE)], (22.0, 22.5), False),
    "pauses of five seconds with the file held": (
        [*growing(range(0, 60, 5), WRITING), (60, WHOLE)],
        (62.0, 62.5),
        False,
    ),
    "an hour of silence with the file held": (
        [(0, WRITING), (3_600, replace(WRITING, held=False))],
        (3_600.0, 3_602.0),
        False,
    ),
    "closing between chunks of a promised length": (
        [*growing(range(0, 40, 4), State(promise=CUT_SHORT)), (40, WHOLE)],
        (42.0, 42.5),
        False,
    ),
    "cut short for good": ([(0, State(promise=CUT_SHORT))], (60.0, 60.0), True),
    "cut short and held, then let go": (
        [(0, State(held=True, promise=CUT_SHORT)), (100, State(promise=CUT_SHORT))],
        (158.0, 162.0),
        True,
    ),
    "streamed with an unknown length": ([(0, State(promise=UNKNOWN_LENGTH))], (60.0, 60.0), False),
    "streamed in chunks 50 s apart": (
        growing(range(0, 200, 50), State(promise=UNKNOWN_LENGTH)),
        (210.0, 213.0),
        False,
    ),
    "made empty, written later": ([(0, State(size=0, promise=NO_PROMISE)), (30, WHOLE)], (32.0, 34.5), False),
    "empty for good": ([(0, State(size=0, promise=NO_PROMISE))], (60.0, 60.0), False),
    "empty and held": ([(0, State(size=0, held=True)), (90, WHOLE)], (92.0, 94.5), False),
    "of a size that changes under the same time": (
        [(0, State(size=1)), (1.5, State(size=2)), (3.2, State(size=3))],
        (5.2, 5.7),
        False,
    ),
    "replaced by a rename, of the same size and time": (
        [(0, State(inode=1)), (1.9, State(inode=2))],
        (3.9, 4.0),
        False,
    ),
    "growing again when it had almost settled": ([(0, State(size=1)), (1.9, State(size=2))], (3.9, 4.0), False),
    "of a format that promises nothing": ([(0, State(promise=NO_PROMISE))], (2.0, 2.0), False),
    "on a system that cannot tell who holds it": (
        [*growing(range(5), State(held=None)), (5, replace(WHOLE, held=None))],
        (7.0, 7.5),
        False,
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_file_settles_when_its_writer_is_done(scenario: str) -> None:
    steps, (earliest, latest), incomplete = SCENARIOS[scenario]
    world = watch(*steps).run(until=5_000)
    [(at, settled)] = world.settled
    assert earliest <= at <= latest
    assert settled.incomplete is incomplete
    assert settled.unreadable is None
    assert settled.look == world.look()


def test_what_is_missing_is_handed_on_with_an_incomplete_file() -> None:
    [(_, settled)] = watch((0, State(promise=CUT_SHORT))).run(until=100).settled
    assert settled.detail == CUT_SHORT.detail


def test_nothing_is_left_to_do_once_a_file_has_settled() -> None:
    world = watch((0, WHOLE)).run(until=10)
    assert world.settler.next_due() is None
    assert CALL not in world.settler
    assert len(world.settler) == 0


def test_a_file_that_cannot_be_opened_but_still_grows_is_not_given_up() -> None:
    locked = State(held=None, promise=None, unreadable="Permission denied")
    world = watch(*growing(range(10), locked), (10, WHOLE)).run(until=100)
    [(at, settled)] = world.settled
    assert at >= 12
    assert settled.unreadable is None


def test_a_quiet_file_that_cannot_be_opened_settles_with_the_reason() -> None:
    [(at, settled)] = watch((0, State(promise=None, unreadable="Permission denied"))).run(until=100).settled
    assert at == 2
    assert settled.unreadable == "Permission denied"
    assert not settled.incomplete


def test_a_file_that_vanishes_is_forgotten_and_starts_anew_when_it_comes_back() -> None:
    world = watch((0, WHOLE), (1, None), (50, WHOLE)).run(until=50)
    assert world.settled == []
    assert CALL not in world.settler
    world.settler.watch(CALL, 2.0, at=50)
    assert [at for at, _ in world.run(until=100).settled] == [52]


def test_a_change_between_the_look_and_the_proof_is_noticed() -> None:
    settler = Settler()
    settler.watch(CALL, 2.0, at=0)
    before, after = Look(1, 1, 1), Look(2, 2, 1)
    settler.looked(CALL, before, at=0)
    assert settler.looked(CALL, before, at=2)
    assert settler.proved(CALL, Proof(after, held_open=False, promise=KEPT), at=2) is None
    assert not settler.looked(CALL, after, at=3.9)
    assert settler.looked(CALL, after, at=4)
    assert settler.proved(CALL, Proof(after, held_open=False, promise=KEPT), at=4) == Settled(CALL, after)


def test_a_file_that_vanishes_before_the_proof_does_not_settle() -> None:
    settler = Settler()
    settler.watch(CALL, 0.0, at=0)
    assert settler.looked(CALL, Look(1, 1, 1), at=0)
    assert settler.proved(CALL, Proof(None, held_open=None, promise=None), at=0) is None
    assert CALL not in settler


def test_with_no_time_to_settle_one_look_and_one_proof_are_enough() -> None:
    world = watch((0, WHOLE), settle_seconds=0).run(until=0)
    assert [at for at, _ in world.settled] == [0]


def test_a_longer_time_to_settle_is_respected() -> None:
    assert [at for at, _ in watch((0, WHOLE), settle_seconds=90).run(until=200).settled] == [90]


def test_a_hint_brings_the_next_look_forward() -> None:
    world = watch((0, WRITING), (99.1, WHOLE)).run(until=99.1)
    due_by_itself = world.settler.next_due()
    world.settler.watch(CALL, 2.0, at=99.1)
    due_after_the_hint = world.settler.next_due()
    assert due_by_itself is not None
    assert due_after_the_hint is not None
    assert due_after_the_hint <= min(due_by_itself, 99.6)


def test_a_thousand_hints_a_second_cause_no_more_looks_than_one() -> None:
    world = watch(*growing(range(1), WRITING))
    for tick in range(1, 10_001):
        world.settler.watch(CALL, 2.0, at=tick / 1_000)
        world.run(until=tick / 1_000)
    assert world.looks - len(world.proofs) <= 10 / 0.5 + 2


def test_a_file_that_is_held_for_an_hour_is_looked_at_every_two_seconds() -> None:
    world = watch((0, WRITING)).run(until=3_600)
    assert len(world.proofs) <= 3_600 / 2 + 10


def test_a_file_that_was_handed_out_but_never_looked_at_comes_round_again() -> None:
    settler = Settler()
    settler.watch(CALL, 2.0, at=0)
    assert settler.due(at=0) == [CALL]
    assert settler.due(at=1) == []
    assert settler.due(at=2) == [CALL]


def test_a_growing_file_is_not_opened() -> None:
    world = watch(*growing([tick / 10 for tick in range(600)], State())).run(until=60)
    assert world.proofs == []


def test_ten_thousand_files_settle_with_a_few_looks_and_one_proof_each() -> None:
    paths = [Path(f"/recordings/{number}.wav") for number in range(10_000)]
    world = World([(0, WHOLE)])
    for number, path in enumerate(paths):
        world.settler.watch(path, 2.0, at=number / 1_000)
    world.run(until=20)
    assert {settled.path for _, settled in world.settled} == set(paths)
    assert len(world.proofs) == len(paths)
    assert world.looks <= 6 * len(paths) + len(world.proofs)


@pytest.mark.parametrize(
    ("steps", "at", "reason"),
    [
        ([(0, WHOLE)], 0.0, "it appeared 0 s ago"),
        (growing([0, 1], State()), 2.6, "it grew 2 s ago"),
        ([(0, State(size=5)), (1, State(size=4))], 2.0, "it changed 1 s ago"),
        ([(0, WRITING)], 30.0, "still being written: open in another program"),
        ([(0, State(promise=CUT_SHORT))], 30.0, "its header promises 20.0 s, 2.0 s are there"),
        ([(0, State(promise=Promise(kept=False)))], 30.0, "its header promises more than is there"),
        ([(0, State(promise=UNKNOWN_LENGTH))], 30.0, "its header does not say how long it is"),
        ([(0, State(size=0))], 30.0, "it is still empty"),
        ([(0, WHOLE)], 3.0, None),
    ],
)
def test_the_reason_why_a_file_has_not_settled_is_told_in_words(
    steps: list[Step], at: float, reason: str | None
) -> None:
    assert watch(*steps).run(until=at).settler.reason(CALL, at) == reason


def test_what_was_never_watched_is_left_alone() -> None:
    settler = Settler()
    assert not settler.looked(CALL, Look(1, 1, 1), at=0)
    assert settler.proved(CALL, Proof(Look(1, 1, 1), held_open=False, promise=KEPT), at=0) is None
    assert settler.reason(CALL, at=0) is None
    settler.forget(CALL)


def test_a_forgotten_file_is_not_looked_at_again() -> None:
    world = watch((0, WRITING)).run(until=10)
    world.settler.forget(CALL)
    assert world.settler.next_due() is None


states = st.builds(
    State,
    size=st.integers(0, 2),
    held=st.sampled_from([True, False, None]),
    promise=st.sampled_from([KEPT, NO_PROMISE, UNKNOWN_LENGTH, CUT_SHORT]),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Every change of the content has a time of its own; in between the file may be held, let go, held again."""
    at, state = 0.0, draw(states)
    steps: list[Step] = [(at, state)]
    for change in range(draw(st.integers(0, 10))):
        at += draw(st.floats(0.01, 100))
        written = draw(st.booleans())
        new = draw(states)
        state = replace(new, mtime_ns=change + 1) if written else replace(state, held=new.held)
        steps.append((at, state))
    return steps


@settings(deadline=None)
@given(histories(), st.sampled_from([0.0, 0.3, 2.0, 10.0]))
def test_whatever_a_writer_does_a_file_settles_only_when_it_is_quiet_and_let_go(
    steps: list[Step], settle_seconds: float
) -> None:
    world = watch(*steps, settle_seconds=settle_seconds).run(until=1_100)
    for at, settled in world.settled:
        past = [(since, state) for since, state in steps if since <= at and state is not None]
        state = past[-1][1]
        changed_at = next(since for since, earlier in past if earlier.mtime_ns == state.mtime_ns)
        assert not state.held
        assert at - changed_at >= settle_seconds
        assert settled.incomplete is (state.promise is CUT_SHORT)
        if state.promise in (CUT_SHORT, UNKNOWN_LENGTH) or state.size == 0:
            assert at - changed_at >= INCOMPLETE_AFTER
    last = steps[-1][1]
    assert last is not None
    assert last.held or len(world.settled) == 1


def test_a_file_is_expected_once_when_it_has_been_quiet_for_half_of_its_time() -> None:
    settler = Settler()
    settler.watch(CALL, 2.0, at=0.0)
    settler.looked(CALL, Look(100, 0, 1), at=0.0)
    assert not settler.is_expected(CALL, at=0.5)
    settler.looked(CALL, Look(200, 1, 1), at=0.9)
    assert not settler.is_expected(CALL, at=1.5)
    assert settler.is_expected(CALL, at=1.9)
    assert not settler.is_expected(CALL, at=2.0)
    assert not settler.is_expected(CALL.with_name("another.wav"), at=2.0)
