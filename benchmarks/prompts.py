"""Recorded speech of people with its words: what telephone exchanges say, from Debian's asterisk-core-sounds-*."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.speech import plain

SPEAKERS = {
    "en": "en_US_f_Allison",
    "es": "es_MX_f_Allison",
    "fr": "fr_CA_f_June",
    "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}
_SOUNDS = Path("/usr/share/asterisk/sounds")
_BYTES_A_SECOND = 8000
"""Of G.722."""

_LINE = re.compile(r"^(?P<name>[\w/-]+): *(?P<words>.+?)\s*$", re.MULTILINE)
_DOUBTFUL = re.compile(r"[^\w\s.,;!?'’…]|[\d_]|\?.|\w\.\w")
"""Remarks in brackets, a mark where a letter was lost, and what has several spellings: digits, hyphens, addresses."""
_LETTERS_A_SECOND = range(8, 22)
"""That people speak: other recordings say less than their text, or spell it."""


@dataclass(frozen=True)
class Prompt:
    path: Path
    words: str


def prompts(language: str, lengths: range) -> list[Prompt]:
    """Those of so many words whose text is beyond doubt, each said once, shuffled: in the list, like stands by like."""
    found: dict[str, Prompt] = {}
    lines = _lines(language)
    numbers = {word for name, words in lines if re.match(r"digits/\d", name) for word in plain(words).split()}
    for name, text in lines:
        words = plain(text)
        path = _SOUNDS / SPEAKERS[language] / f"{name}.g722"
        if (
            len(words.split()) in lengths
            and words not in found
            and not _DOUBTFUL.search(text)
            and numbers.isdisjoint(words.split())
            and path.exists()
            and len(words) * _BYTES_A_SECOND // path.stat().st_size in _LETTERS_A_SECOND
        ):
            found[words] = Prompt(path, text)
    sorted_by_name = list(found.values())
    return [sorted_by_name[place] for place in np.random.default_rng(6).permutation(len(found))]


def _lines(language: str) -> list[tuple[str, str]]:
    """What each recording is called, and what is said in it."""
    package = f"asterisk-core-sounds-{language}"
    source = Path("/usr/share/doc") / package / f"{package.removeprefix('asterisk-')}.txt.gz"
    if not (source.exists() and (_SOUNDS / SPEAKERS[language]).exists()):
        raise SystemExit(f"{source} or its recordings are missing: install packaging/linux/benchmark-packages.txt")
    text = gzip.decompress(source.read_bytes()).decode("utf-8-sig")
    return [(line["name"], line["words"]) for line in _LINE.finditer(text)]
