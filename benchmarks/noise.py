"""What noise reduction does to the words: the same speech in several noises, as it is and filtered.

python -m benchmarks.noise [--model NAME] [--parts 1..3]

A part is a third of the clean clip. Its rates go up and down by a point or two with every little thing.
"""

from __future__ import annotations

import argparse

import jiwer

from benchmarks import corpus, models
from benchmarks.corpus import Clip
from benchmarks.report import Row, show, surroundings
from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.machine.hardware import machine
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.models.store import STARTER
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.models.transcript.models import RequestedSettings
from tests.speech import plain

DECIBELS = (20, 10, 5, 0)
"""That the speech is louder than the noise."""


def main(name: str, parts: int) -> None:
    transcriber = Transcriber(models.model(name), machine().workers_for(None))
    cases = [("none", 0), *((noise, decibels) for noise in ("fan", "hum", "babble") for decibels in DECIBELS)]
    rows: list[Row] = []
    for noise, decibels in cases:
        clips = [corpus.in_noise(noise, decibels, part) for part in range(parts)]
        plain_rate, filtered_rate = (_errors(transcriber, clips, noise_reduction=asked) for asked in (False, True))
        rows.append(
            {
                "noise": noise,
                "speech louder by dB": decibels if noise != "none" else "",
                "word errors %": plain_rate,
                "with noise reduction %": filtered_rate,
                "difference": round(filtered_rate - plain_rate, 1),
            }
        )
    words = sum(len(plain(clip.words).split()) for clip in clips)
    show(f"Noise: {name}", rows, {**surroundings(), "words in each row": words})


def _errors(transcriber: Transcriber, clips: list[Clip], *, noise_reduction: bool) -> float:
    asked = RequestedSettings(language="en", noise_reduction=noise_reduction)
    results = [transcriber.transcribe([Track(path=clip.path)], asked, gate=Gate()) for clip in clips]
    heard = [plain(" ".join(segment.text for segment in result.segments)) for result in results]
    return round(100 * float(jiwer.wer([plain(clip.words) for clip in clips], heard)), 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=STARTER, choices=models.NAMES)
    parser.add_argument("--parts", type=int, default=2, choices=range(1, 4))
    arguments = parser.parse_args()
    main(arguments.model, arguments.parts)
