"""When a file is whole: a pure state machine, told what was observed and when, that answers with what has settled.

No single sign is enough. Writers pause for seconds, some close the file between two chunks, some make it empty and
write later, and a header can promise more than is there. So a file settles when it has not changed for a while, nobody
holds it open for writing, and what its header promises is there. The caller goes round like this:

    for path in settler.due(now):
        if settler.looked(path, look(path), now):
            settled = settler.proved(path, prove(path), now)
    # then sleep until settler.next_due(), or until there is something new to watch

The cheap look comes first: a file is opened only once it has been quiet long enough. Their turns stand in a heap, so
that ten thousand files cost nothing between them.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from panotti_daemon.intake.headers import Promise

INCOMPLETE_AFTER = 60.0
"""Seconds after which a file that is unchanged and unheld goes on, whatever its header promises."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two looks at one file."""

LONGEST_PAUSE_WHILE_FRESH = 0.5
"""The same until the file has been quiet for its `settle_seconds`, so that a change is dated well."""


@dataclass(frozen=True)
class Look:
    """A regular file as it stood at one moment; two that are equal mean that nothing was written between them."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Proof:
    """What can be known only by opening the file, which is asked for once it is quiet."""

    look: Look | None
    """The file after everything else was read, so that a change meanwhile is seen. None: it is gone."""
    held_open: bool | None
    """Another program can write to it. None: this system cannot tell."""
    promise: Promise | None
    """None: not read, because the file is held open or unreadable."""
    unreadable: str | None = None
    """Why the file cannot be opened, in words."""


@dataclass(frozen=True)
class Settled:
    path: Path
    look: Look
    incomplete: bool = False
    """Less is there than the header promises, and nobody seems to be writing the rest."""
    detail: str = ""
    """What is missing of an incomplete file."""
    unreadable: str | None = None
    """The file is quiet, but cannot be opened: why."""


@dataclass(eq=False)
class _Watched:
    path: Path
    settle_seconds: float
    changed_at: float
    looked_at: float
    due: float
    look: Look | None = None
    held_at: float = float("-inf")
    """When it was last found held open."""
    change: str = "appeared"
    waits_for: str = ""
    """What stands in the way now that it is quiet."""
    expected: bool = False
    """Somebody was told that it may settle soon."""

    @property
    def quiet_at(self) -> float:
        return self.changed_at + self.settle_seconds

    @property
    def patience_ends_at(self) -> float:
        return max(self.changed_at, self.held_at) + INCOMPLETE_AFTER

    @property
    def pause_while_fresh(self) -> float:
        return min(max(self.settle_seconds / 2, SHORTEST_PAUSE), LONGEST_PAUSE_WHILE_FRESH)

    def next_look(self, at: float) -> float:
        if at < self.quiet_at:
            return min(at + self.pause_while_fresh, self.quiet_at)
        pause = min(max((at - self.changed_at) / 4, self.pause_while_fresh), LONGEST_PAUSE)
        return min(at + pause, self.patience_ends_at) if at < self.patience_ends_at else at + pause

    def note_change(self, look: Look, at: float) -> None:
        if self.look is not None:
            self.change = "grew" if look.size > self.look.size else "changed"
        self.look = look
        self.changed_at = at
        self.waits_for = ""


class Settler:
    """Every `at` is a reading of one monotonic clock, taken after what it dates was observed."""

    def __init__(self) -> None:
        self._watched: dict[Path, _Watched] = {}
        self._turns: list[tuple[float, int, _Watched]] = []
        self._order = count()

    def __contains__(self, path: Path) -> bool:
        return path in self._watched

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, path: Path, settle_seconds: float, at: float) -> None:
        """A hint that there is, or may have changed, a file. Hundreds of them a second cause no more looks than one."""
        watched = self._watched.get(path)
        if watched is None:
            watched = self._watched[path] = _Watched(path, settle_seconds, changed_at=at, looked_at=at, due=at)
            self._look_again(watched, at)
            return
        watched.settle_seconds = settle_seconds
        soon = max(at, watched.looked_at + watched.pause_while_fresh)
        if soon < watched.due:
            self._look_again(watched, soon)

    def due(self, at: float) -> list[Path]:
        """The files to look at now. One that is not looked at in spite of this comes round again."""
        paths = []
        while (due := self.next_due()) is not None and due <= at:
            watched = heapq.heappop(self._turns)[2]
            paths.append(watched.path)
            self._look_again(watched, at + LONGEST_PAUSE)
        return paths

    def next_due(self) -> float | None:
        """When `due` has something to say; None: there is nothing to wait for."""
        while self._turns:
            due, _, watched = self._turns[0]
            if watched.due == due and self._watched.get(watched.path) is watched:
                return due
            heapq.heappop(self._turns)
        return None

    def looked(self, path: Path, look: Look | None, at: float) -> bool:
        """Takes in a look. None: no regular file is there; it is forgotten. True: it is quiet, prove it now."""
        watched = self._watched.get(path)
        if watched is None:
            return False
        if look is None:
            self.forget(path)
            return False
        watched.looked_at = at
        if look != watched.look:
            watched.note_change(look, at)
        self._look_again(watched, watched.next_look(at))
        return at >= watched.quiet_at

    def is_expected(self, path: Path, at: float) -> bool:
        """Whether it may settle soon, having been quiet for half of its time. Once true for a file, for some writers
        pause for hours."""
        watched = self._watched.get(path)
        if watched is None or watched.expected or at < watched.changed_at + watched.settle_seconds / 2:
            return False
        watched.expected = True
        return True

    def proved(self, path: Path, proof: Proof, at: float) -> Settled | None:
        """Takes in a proof. A file that has settled is no longer watched."""
        watched = self._watched.get(path)
        if watched is None:
            return None
        if proof.look is None or proof.look != watched.look:
            self.looked(path, proof.look, at)
            return None
        if proof.held_open:
            watched.held_at = at
            watched.waits_for = "still being written: open in another program"
            return None
        watched.waits_for = _what_is_missing(proof.look, proof)
        if watched.waits_for and at < watched.patience_ends_at:
            return None
        self.forget(path)
        promise = proof.promise
        if promise is not None and promise.kept is False:
            return Settled(path, proof.look, incomplete=True, detail=promise.detail)
        return Settled(path, proof.look, unreadable=proof.unreadable)

    def reason(self, path: Path, at: float) -> str | None:
        """Why the file has not settled, in words for the user. None: it is not being watched."""
        watched = self._watched.get(path)
        if watched is None:
            return None
        return watched.waits_for or f"it {watched.change} {max(0.0, at - watched.changed_at):.0f} s ago"

    def forget(self, path: Path) -> None:
        self._watched.pop(path, None)

    def _look_again(self, watched: _Watched, due: float) -> None:
        watched.due = due
        heapq.heappush(self._turns, (due, next(self._order), watched))


def _what_is_missing(look: Look, proof: Proof) -> str:
    if proof.unreadable is not None:
        return ""
    if look.size == 0:
        return "it is still empty"
    promise = proof.promise
    if promise is not None and promise.kept is False:
        return promise.detail or "its header promises more than is there"
    if promise is not None and promise.unknown_length:
        return promise.detail or "its header does not say how long it is"
    return ""
