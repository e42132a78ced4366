"""Which server gets the next part: the least busy one that is not resting after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from panotti_daemon.errors import ServerUnavailable
from panotti_daemon.settings.servers import Server

FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
"""When all rest for longer, nobody waits here: the recording's delivery does, and says why."""


class ServerFailed(Exception):
    """It may do better later, or another one now."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerMisfit(Exception):
    """It does not work as it is set up: its address or its key is wrong."""


@dataclass
class _Post:
    server: Server
    busy: int = 0
    rest: float = 0.0
    """Seconds, after its last failure; longer after each in a row."""
    rests_until: float = 0.0
    problem: str = ""
    """What was wrong with it last."""
    misfit: bool = False


class Fleet:
    """Any number of threads may ask it at once."""

    def __init__(self, servers: Sequence[Server], *, now: Callable[[], float] = time.monotonic) -> None:
        self._posts = [_Post(server) for server in servers]
        self._now = now
        self._changed = threading.Condition()

    def begin(self) -> None:
        """Another job: what did not fit the last one may have been mended at the server."""
        with self._changed:
            for post in self._posts:
                post.misfit = False

    @contextmanager
    def server(self) -> Iterator[Server]:
        """Waits for one. What fails within has it rest.

        Raises:
            ServerUnavailable: none will be there soon.
        """
        post = self._take()
        try:
            yield post.server
        except ServerFailed as error:
            self._failed(post, str(error), error.retry_after)
            raise
        except ServerMisfit as error:
            self._does_not_fit(post, str(error))
            raise
        else:
            self._did_it(post)
        finally:
            with self._changed:
                post.busy -= 1
                self._changed.notify_all()

    def _take(self) -> _Post:
        with self._changed:
            while True:
                now = self._now()
                fitting = [post for post in self._posts if not post.misfit]
                awake = [post for post in fitting if post.rests_until <= now]
                free = [post for post in awake if post.busy < post.server.at_once]
                if free:
                    post = min(free, key=lambda post: post.busy / post.server.at_once)
                    post.busy += 1
                    return post
                wakes = [post.rests_until - now for post in fitting if post not in awake]
                if not awake and min(wakes, default=PATIENCE_SECONDS) >= PATIENCE_SECONDS:
                    raise ServerUnavailable(self._problems())
                self._changed.wait(min(wakes, default=None))

    def _failed(self, post: _Post, problem: str, retry_after: float) -> None:
        """Calls that were under way together fail together, and count once."""
        with self._changed:
            now = self._now()
            post.problem = problem
            if post.rests_until <= now:
                post.rest = min(LONGEST_REST_SECONDS, max(FIRST_REST_SECONDS, 2 * post.rest))
            post.rests_until = max(post.rests_until, now + post.rest, now + retry_after)

    def _does_not_fit(self, post: _Post, problem: str) -> None:
        with self._changed:
            post.problem, post.misfit, post.rest = problem, True, 0.0

    def _did_it(self, post: _Post) -> None:
        with self._changed:
            post.misfit, post.rest = False, 0.0
            if post.rests_until <= self._now():  # or it is still the reason for its rest
                post.problem = ""

    def _problems(self) -> str:
        return "; ".join(dict.fromkeys(post.problem for post in self._posts if post.problem))
