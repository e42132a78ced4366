"""Tidies how a text is set, and nothing that was said: no letter, no digit and no case ever changes.

Quotation marks and hyphens are left alone: what they should be depends on more than can be seen here.
"""

from __future__ import annotations

import re

_RULES = (
    (re.compile(r"(?:\. ?){2,}\.|(?:… ?)+…"), "…"),
    (re.compile(r" +([,.;:!?…]+)(?= |$)"), r"\1"),
    (re.compile(r"([,;])(?: ?\1)+"), r"\1"),
    (re.compile(r"([(\[]) +"), r"\1"),
    (re.compile(r" +([)\]])"), r"\1"),
    (re.compile(r"(?<=\S) --? (?=[^\W\d])"), " – "),
)
"""In order: dots that are an ellipsis; spaces before punctuation; commas said twice; spaces inside brackets; hyphens
that are dashes, which those before numbers may not be."""
_FRENCH = (
    (re.compile(r"(?<=[\w»]) ?([;:!?]+|»)(?=[ ;:!?]|$)"), "\u00a0\\1"),
    (re.compile(r"« ?(?=\w)"), "«\u00a0"),
)
"""French sets a space there, at which no line may break."""


def tidy(text: str, language: str) -> str:
    """The text, one line of it, as a typesetter would have it. Doing it twice changes nothing."""
    for pattern, replacement in (*_RULES, *(_FRENCH if language == "fr" else ())):
        text = pattern.sub(replacement, text)
    return text
