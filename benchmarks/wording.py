"""Texts as they are compared: as the normalizers spell them with which Whisper's own error rates were published.

In English they write numbers, contractions and titles in one way, so that *you're* and *you are* are no error.
"""

from __future__ import annotations

from functools import cache

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer


def comparable(text: str, language: str) -> str:
    return str(_normalizer(language)(text))


@cache
def _normalizer(language: str) -> BasicTextNormalizer | EnglishTextNormalizer:
    """That of other languages leaves accents away: the Spanish texts have hardly any."""
    return EnglishTextNormalizer() if language == "en" else BasicTextNormalizer(remove_diacritics=True)
