"""How fast the engine is beside the bare library: same machine, same model, same audio, in turns.

python -m benchmarks.engine [--model NAME]... [--rounds N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median

from benchmarks import corpus, models
from benchmarks.contenders import CORES, Contender, batched, panotti, sequential
from benchmarks.corpus import Clip
from benchmarks.report import BATCHED, OURS, SEQUENTIAL, Row, only_warnings, show, surroundings
from tests.speech import SAMPLE

SPEECH = {"clean": corpus.clean, "noisy": corpus.noisy, "gappy": corpus.gappy}


def main(names: Sequence[str], speech: Sequence[str], rounds: int) -> None:
    only_warnings()
    for name in names:
        model = models.model(name)
        contenders = [panotti(model), sequential(model), *(batched(model, n) for n in sorted({1, CORES}))]
        alone = panotti(model, workers=1)
        settings = {contender.name: contender.settings for contender in (*contenders, alone)}
        notes = {**surroundings(), "settings": settings, "rounds": rounds}
        for clip in (SPEECH[kind]() for kind in speech):
            entered = [*contenders, alone] if clip.name == "clean" else contenders
            rows = _compared(clip, entered, rounds)
            show(f"Speed: {name}, {clip.name}, {clip.seconds:.0f} s", rows, notes)
        for contender in (*contenders, alone):
            contender.close()


def _compared(clip: Clip, contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Each in turn in every round, so that what else the machine does falls on all of them."""
    times: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        contender.hear(SAMPLE, "en")  # the first time, libraries are still setting up
    for number in range(rounds):
        for contender in contenders if number % 2 else reversed(contenders):
            started, used = time.perf_counter(), contender.processor_seconds()
            contender.hear(clip.path, "en")
            times[contender.name].append((time.perf_counter() - started, contender.processor_seconds() - used))
    walls = {name: [wall for wall, _ in pairs] for name, pairs in times.items()}
    best = min((name for name in walls if name.startswith(BATCHED)), key=lambda name: median(walls[name]))
    order = (OURS, BATCHED, SEQUENTIAL)
    return [
        {
            "contender": name + (" (its best)" if name == best else ""),
            "seconds": round(median(wall), 2),
            "times real time": round(clip.seconds / median(wall), 1),
            "processor seconds": round(median(used for _, used in times[name]), 2),
            "panotti is faster by": _ratio(wall, walls[OURS]),
        }
        for name, wall in sorted(walls.items(), key=lambda item: order.index(item[0].split(",")[0]))
    ]


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median of what each round says."""
    return round(median(their / our for their, our in zip(theirs, ours, strict=True)), 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", choices=models.NAMES)
    parser.add_argument("--speech", action="append", choices=SPEECH)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.model or models.NAMES, arguments.speech or list(SPEECH), arguments.rounds)
