"""How right the engine is beside the bare library: word errors, words that were dropped, words that nobody spoke.

python -m benchmarks.accuracy [--model NAME]...
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import jiwer

from benchmarks import corpus, models
from benchmarks.contenders import batched, panotti, sequential
from benchmarks.corpus import Clip
from benchmarks.report import Row, show, surroundings
from panotti_daemon.engine.whisper import worker_count
from tests.speech import plain


def main(names: Sequence[str]) -> None:
    spoken = [corpus.clean(), corpus.noisy(), corpus.gappy()]
    unspoken = corpus.wordless()
    for name in names:
        model = models.model(name)
        contenders = [panotti(model), sequential(model), batched(model, worker_count("auto"))]
        notes = {**surroundings(), "settings": {contender.name: contender.settings for contender in contenders}}
        heard = {
            (clip.name, contender.name): plain(contender.hear(clip.path, "en"))
            for clip in (*spoken, *unspoken)
            for contender in contenders
        }
        rows = [_row(clip, who.name, heard[clip.name, who.name]) for clip in spoken for who in contenders]
        show(f"Accuracy: {name}", rows, notes)
        show(
            f"Words where nobody speaks: {name}",
            [
                {"sound": clip.name} | {who.name: len(heard[clip.name, who.name].split()) for who in contenders}
                for clip in unspoken
            ],
            notes,
        )


def _row(clip: Clip, contender: str, heard: str) -> Row:
    result = jiwer.process_words(plain(clip.words), heard)
    return {
        "speech": clip.name,
        "contender": contender,
        "words": len(plain(clip.words).split()),
        "word error rate %": round(100 * result.wer, 2),
        "substituted": result.substitutions,
        "deleted": result.deletions,
        "inserted": result.insertions,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", choices=models.NAMES)
    main(parser.parse_args().model or models.NAMES)
