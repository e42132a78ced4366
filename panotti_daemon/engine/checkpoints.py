"""What an earlier run of a job left decoded, by where it stands."""

from __future__ import annotations

from collections.abc import Container, Iterable

from panotti_daemon.models.transcript.models import Checkpoint, DecodedWindow

Place = tuple[int, int, int]
"""The number of a track, and the samples where it begins and ends."""


class Earlier:
    def __init__(self, done: Iterable[Checkpoint], models: Container[str]) -> None:
        """Of these models alone: what another one has decoded is decoded again."""
        self.checkpoints = [checkpoint for checkpoint in done if checkpoint.model in models]
        self._found: dict[Place, tuple[Checkpoint, DecodedWindow]] = {
            (window.track, window.start, window.end): (checkpoint, window)
            for checkpoint in self.checkpoints
            for window in checkpoint.windows
        }

    def __contains__(self, place: Place) -> bool:
        return place in self._found

    def find(self, place: Place) -> tuple[Checkpoint, DecodedWindow] | None:
        """What was decoded there, and the checkpoint that it stands in."""
        return self._found.get(place)
