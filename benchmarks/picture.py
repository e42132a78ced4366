"""Draws how time and memory grow with the length of a recording, from the table that `benchmarks.length` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.report import Table

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 18, 40, 44
_INK, _GRID, _BLUE, _RED = "#374151", "#e5e7eb", "#2563eb", "#dc2626"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Curve:
    name: str
    colour: str
    points: Points
    name_below: bool = False


def draw(table: Table) -> str:
    """An SVG of two charts, side by side."""
    minutes = [float(row["minutes"]) for row in table.rows]
    hours = [minute / 60 for minute in minutes]

    def column(name: str) -> list[float]:
        return [float(row[name]) for row in table.rows]

    time = _chart(
        "Time to transcribe, s",
        "length, minutes",
        [_Curve("", _BLUE, list(zip(minutes, column("seconds"), strict=True)))],
    )
    memory = _chart(
        "Memory of the engine, MB",
        "length, hours",
        [
            _Curve("at most", _RED, list(zip(hours, column("MB at most"), strict=True))),
            _Curve("after a tenth", _BLUE, list(zip(hours, column("MB after a tenth"), strict=True)), name_below=True),
        ],
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="11" fill="{_INK}">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{time}\n'
        f'<g transform="translate({_WIDTH} 0)">\n{memory}\n</g>\n</svg>\n'
    )


def _chart(title: str, below: str, curves: Sequence[_Curve]) -> str:
    points = [point for curve in curves for point in curve.points]
    across, up = _ticks(max(x for x, _ in points)), _ticks(max(y for _, y in points))

    def x(value: float) -> float:
        return round(_LEFT + value / across[-1] * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - value / up[-1] * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [f'<text x="{_LEFT}" y="22" font-size="13" font-weight="bold">{title}</text>']
    for tick in up:
        parts.append(f'<path d="M{_LEFT} {y(tick)}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    parts += [f'<text x="{x(tick)}" y="{y(0) + 16}" text-anchor="middle">{tick:g}</text>' for tick in across]
    parts.append(f'<text x="{x(across[-1] / 2)}" y="{_HEIGHT - 10}" text-anchor="middle">{below}</text>')
    parts += [_drawn(curve, x, y) for curve in curves]
    return "\n".join(parts)


def _drawn(curve: _Curve, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    places = [(x(across), y(up)) for across, up in curve.points]
    line = "L".join(f"{across} {up}" for across, up in places)
    dots = "".join(f'<circle cx="{across}" cy="{up}" r="2.5" fill="{curve.colour}"/>' for across, up in places)
    across, up = places[-1]
    height = up + 18 if curve.name_below else up - 9
    name = f'<text x="{across}" y="{height}" text-anchor="end" fill="{curve.colour}">{curve.name}</text>'
    return f'<path class="curve" d="M{line}" fill="none" stroke="{curve.colour}" stroke-width="1.5"/>{dots}{name}'


def _ticks(most: float) -> list[float]:
    """From 0 to at least `most`, in at most six round steps."""
    step = next(size * 10**power for power in range(-1, 9) for size in (1, 2, 5) if most <= 6 * size * 10**power)
    return [step * number for number in range(int(-(-most // step)) + 1)]
