"""How right the engine is beside the bare library: word errors, words that were dropped, words that nobody spoke.

python -m benchmarks.accuracy [--model NAME]...
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import jiwer

from benchmarks import corpus, models
from benchmarks.contenders import CORES, Contender, Heard, batched, panotti, sequential
from benchmarks.corpus import LANGUAGES, Clip
from benchmarks.report import Notes, Row, only_warnings, show, surroundings
from benchmarks.wording import comparable
from panotti_daemon.engine.models.store import STARTER


def main(names: Sequence[str]) -> None:
    only_warnings()
    for name in names:
        model = models.model(name)
        contenders = [panotti(model), sequential(model), batched(model, CORES)]
        notes = {**surroundings(), "settings": {contender.name: contender.settings for contender in contenders}}
        _english(name, contenders, notes)
        _wordless(name, contenders, notes)
        if name != STARTER:
            _foreign(name, contenders, notes)
        for contender in contenders:
            contender.close()


def _english(model: str, contenders: Sequence[Contender], notes: Notes) -> None:
    clips = [corpus.clean(), corpus.noisy(), corpus.gappy()]
    heard = {who.name: [who.hear(clip.path, "en") for clip in clips] for who in contenders}
    show(f"Accuracy: {model}", _compared("speech", clips, heard), notes)


def _foreign(model: str, contenders: Sequence[Contender], notes: Notes) -> None:
    clips = [corpus.foreign(language) for language in LANGUAGES]
    heard = {who.name: [_unaided(who, clip) for clip in clips] for who in contenders}
    found = {name: " ".join(one.language for one in heard_by) for name, heard_by in heard.items()}
    rows = _compared("language", clips, heard)
    show(f"Accuracy in other languages: {model}", rows, {**notes, "languages found": found})


def _unaided(who: Contender, clip: Clip) -> Heard:
    """Which language is found, and what is heard in the right one."""
    heard = who.hear(clip.path, None)
    return heard if heard.language == clip.language else replace(heard, text=who.hear(clip.path, clip.language).text)


def _wordless(model: str, contenders: Sequence[Contender], notes: Notes) -> None:
    rows = [
        {"sound": clip.name} | {who.name: len(who.hear(clip.path, "en").text.split()) for who in contenders}
        for clip in corpus.wordless()
    ]
    show(f"Words where nobody speaks: {model}", rows, notes)


def _compared(kind: str, clips: Sequence[Clip], heard: Mapping[str, Sequence[Heard]]) -> list[Row]:
    """Clip by clip, and all of them together."""
    parts: dict[str, list[int]] = {clip.name: [place] for place, clip in enumerate(clips)}
    parts["together"] = [*range(len(clips))]
    return [
        {kind: part, "contender": name, **_errors([(clips[place], heard_by[place]) for place in places])}
        for part, places in parts.items()
        for name, heard_by in heard.items()
    ]


def _errors(heard: Sequence[tuple[Clip, Heard]]) -> Row:
    spoken = [comparable(clip.words, clip.language) for clip, _ in heard]
    result = jiwer.process_words(spoken, [comparable(found.text, clip.language) for clip, found in heard])
    return {
        "words": len(" ".join(spoken).split()),
        "word error rate %": round(100 * result.wer, 2),
        "substituted": result.substitutions,
        "deleted": result.deletions,
        "inserted": result.insertions,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", choices=models.NAMES)
    main(parser.parse_args().model or models.NAMES)
