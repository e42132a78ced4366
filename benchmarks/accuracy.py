"""How right the engine is beside the bare library: word errors, words that were dropped, words that nobody spoke.

python -m benchmarks.accuracy [--model NAME]...
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import jiwer

from benchmarks import corpus, models
from benchmarks.contenders import CORES, Contender, Heard, batched, panotti, sequential
from benchmarks.corpus import LANGUAGES, Clip
from benchmarks.report import Notes, Row, show, surroundings
from panotti_daemon.engine.models.store import STARTER
from tests.speech import plain


def main(names: Sequence[str]) -> None:
    for name in names:
        model = models.model(name)
        contenders = [panotti(model), sequential(model), batched(model, CORES)]
        notes = {**surroundings(), "settings": {contender.name: contender.settings for contender in contenders}}
        _english(name, contenders, notes)
        _wordless(name, contenders, notes)
        if name != STARTER:
            _foreign(name, contenders, notes)


def _english(model: str, contenders: Sequence[Contender], notes: Notes) -> None:
    rows = [
        {"speech": clip.name, "contender": who.name, **_errors(clip, who.hear(clip.path, "en"))}
        for clip in (corpus.clean(), corpus.noisy(), corpus.gappy())
        for who in contenders
    ]
    show(f"Accuracy: {model}", rows, notes)


def _foreign(model: str, contenders: Sequence[Contender], notes: Notes) -> None:
    """Once with the language given, once with the language to be found."""
    rows = [
        {"language": language, "contender": who.name, **_errors(clip, who.hear(clip.path, language))}
        | {"found": (found := who.hear(clip.path, None)).language, "word error rate % if not given": _rate(clip, found)}
        for language in LANGUAGES
        for clip in (corpus.foreign(language),)
        for who in contenders
    ]
    show(f"Accuracy in other languages: {model}", rows, notes)


def _wordless(model: str, contenders: Sequence[Contender], notes: Notes) -> None:
    rows = [
        {"sound": clip.name} | {who.name: len(plain(who.hear(clip.path, "en").text).split()) for who in contenders}
        for clip in corpus.wordless()
    ]
    show(f"Words where nobody speaks: {model}", rows, notes)


def _errors(clip: Clip, heard: Heard) -> Row:
    result = jiwer.process_words(plain(clip.words), plain(heard.text))
    return {
        "words": len(plain(clip.words).split()),
        "word error rate %": round(100 * result.wer, 2),
        "substituted": result.substitutions,
        "deleted": result.deletions,
        "inserted": result.insertions,
    }


def _rate(clip: Clip, heard: Heard) -> float:
    return round(100 * float(jiwer.wer(plain(clip.words), plain(heard.text))), 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", choices=models.NAMES)
    main(parser.parse_args().model or models.NAMES)
