"""How the tests and the benchmarks compare words."""

from __future__ import annotations

import pytest

from tests.speech import plain


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Mr. Dashwood's, isn't it?", "mister dashwood's isn't it"),
        ("All’arrivo, c’è 'posta'…", "all'arrivo c'e posta"),
        ("Übermorgen ist die Straße frei", "ubermorgen ist die strasse frei"),
        ("ИЗВИНИТЕ, ещё раз!", "извините еще раз"),
        ("un re\u0301pondeur", "un repondeur"),
    ],
)
def test_words_are_the_same_however_they_are_written(written: str, said: str) -> None:
    assert plain(written) == said
