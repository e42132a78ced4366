"""What was aimed at, and what the tables say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.report import BATCHED, OURS, SEQUENTIAL, Row, Table

TITLE = "Aims"


@dataclass(frozen=True)
class Aim:
    what: str
    wanted: float
    measured: float
    at_least: bool = False
    """Or else at most."""
    whose: str = ""
    """The contender to whom that belongs which is wanted."""

    @property
    def row(self) -> Row:
        reached = self.measured >= self.wanted if self.at_least else self.measured <= self.wanted
        whose = f" ({self.whose})" if self.whose else ""
        return {
            "aim": self.what,
            "wanted": f"{'at least' if self.at_least else 'at most'} {self.wanted:g}{whose}",
            "measured": f"{self.measured:g}",
            "reached": "yes" if reached else "no",
        }


def compared(tables: Iterable[Table]) -> Table:
    found = [aim.row for table in tables for aim in _aims(table)]
    return Table(title=TITLE, notes={}, rows=[dict(row) for row in found])


def _aims(table: Table) -> Iterator[Aim]:
    kind, _, rest = table.title.partition(": ")
    match kind:
        case "Speed":
            yield from _speed(rest.rpartition(",")[0], table.rows)
        case "Length":
            longest = table.rows[-1]
            yield Aim(
                f"Growth for an hour of audio, MB ({longest['minutes']} minutes)", 60, _number(longest, "MB an hour")
            )
            for row in table.rows:
                name = f"Remaining time after the first tenth, off by % ({row['minutes']} minutes)"
                yield Aim(name, 20, _number(row, "remaining time off by, %"))
        case "Daemon":
            ratio = "throughput to that of the bare engine"
            yield Aim(
                "Throughput of the daemon to that of the engine", 0.95, _number(table.rows[0], ratio), at_least=True
            )
        case "Accuracy":
            yield from _accuracy(rest, "speech", table.rows)
        case "Accuracy in other languages":
            yield from _accuracy(rest, "language", table.rows)
        case "Words where nobody speaks":
            yield Aim(f"Words where nobody speaks ({rest})", 0, sum(_number(row, OURS) for row in table.rows))


def _speed(which: str, rows: Sequence[Row]) -> Iterator[Aim]:
    for row in rows:
        contender = str(row["contender"])
        if contender.endswith("(its best)") or contender == SEQUENTIAL:
            name, wanted = (SEQUENTIAL, 3.0) if contender == SEQUENTIAL else (BATCHED, 1.3)
            yield Aim(f"Faster than {name} ({which})", wanted, _number(row, "panotti is faster by"), at_least=True)


def _accuracy(model: str, kind: str, rows: Sequence[Row]) -> Iterator[Aim]:
    """No more errors than the better of both, and no more words left out than the sequential way leaves out."""
    rate, deleted = "word error rate %", "deleted"
    for speech in dict.fromkeys(row[kind] for row in rows):
        of = {str(row["contender"]).partition(",")[0]: row for row in rows if row[kind] == speech}
        wanted, whose = min((_number(of[name], rate), name) for name in (SEQUENTIAL, BATCHED))
        yield Aim(f"Word error rate % ({model}, {speech})", wanted, _number(of[OURS], rate), whose=whose)
        wanted = _number(of[SEQUENTIAL], deleted)
        yield Aim(f"Words left out ({model}, {speech})", wanted, _number(of[OURS], deleted), whose=SEQUENTIAL)


def _number(row: Row, column: str) -> float:
    return float(row[column])
