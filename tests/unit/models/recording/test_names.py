from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.models.recording.names import MEDIA_SUFFIXES, stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("call.wav", "call"),
        ("CALL.WAV", "CALL"),
        ("2025.01.21-call.m4a", "2025.01.21-call"),
        ("2025.01.21-call", "2025.01.21-call"),
        ("call.mp3.wav", "call.mp3"),
        ("call.unknown", "call.unknown"),
        ("call", "call"),
        (".wav", ".wav"),
        ("call.", "call."),
    ],
)
def test_a_stem_is_the_name_without_a_media_suffix(name: str, expected: str) -> None:
    assert stem(name) == expected


@given(st.text(min_size=1), st.sampled_from(sorted(MEDIA_SUFFIXES)))
def test_any_name_is_the_stem_of_itself_with_a_media_suffix(name: str, suffix: str) -> None:
    assert stem(name + suffix) == name
