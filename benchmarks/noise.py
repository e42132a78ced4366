"""What noise reduction does to the words: the same speech in several noises, as it is and filtered.

python -m benchmarks.noise [--model NAME] [--parts 1..3]

A part is a third of the clean clip. Its rates go up and down by a point or two with every little thing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import jiwer

from benchmarks import corpus, models
from benchmarks.contenders import Contender, panotti
from benchmarks.corpus import Clip
from benchmarks.report import Row, only_warnings, show, surroundings
from benchmarks.wording import comparable
from panotti_daemon.engine.models.store import STARTER

DECIBELS = (20, 10, 5, 0)
"""That the speech is louder than the noise."""


def main(name: str, parts: int) -> None:
    only_warnings()
    model = models.model(name)
    unfiltered, filtered = panotti(model), panotti(model, noise_reduction=True)
    cases = [("none", 0), *((noise, decibels) for noise in ("fan", "hum", "babble") for decibels in DECIBELS)]
    rows: list[Row] = []
    for noise, decibels in cases:
        clips = [corpus.in_noise(noise, decibels, part) for part in range(parts)]
        rate, filtered_rate = _errors(unfiltered, clips), _errors(filtered, clips)
        rows.append(
            {
                "noise": noise,
                "speech louder by dB": decibels if noise != "none" else "",
                "word errors %": rate,
                "with noise reduction %": filtered_rate,
                "difference": round(filtered_rate - rate, 1),
            }
        )
    words = sum(len(comparable(clip.words, clip.language).split()) for clip in clips)
    show(f"Noise: {name}", rows, {**surroundings(), "words in each row": words})
    for contender in (unfiltered, filtered):
        contender.close()


def _errors(contender: Contender, clips: Sequence[Clip]) -> float:
    spoken = [comparable(clip.words, clip.language) for clip in clips]
    heard = [comparable(contender.hear(clip.path, clip.language).text, clip.language) for clip in clips]
    return round(100 * float(jiwer.wer(spoken, heard)), 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=STARTER, choices=models.NAMES)
    parser.add_argument("--parts", type=int, default=2, choices=range(1, 4))
    arguments = parser.parse_args()
    main(arguments.model, arguments.parts)
