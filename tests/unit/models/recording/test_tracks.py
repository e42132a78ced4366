from __future__ import annotations

import hashlib
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.models.recording.tracks import TrackName, content_id, match

PATTERNS = {"microphone": "*_mic.*", "system": "*_system_audio.*"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("standup_mic.wav", TrackName("microphone", "standup")),
        ("standup_system_audio.m4a", TrackName("system", "standup")),
        ("Standup_MIC.WAV", TrackName("microphone", "Standup")),
        ("2025.01.21 [sales] call_mic.flac", TrackName("microphone", "2025.01.21 [sales] call")),
        ("a_mic_mic.wav", TrackName("microphone", "a_mic")),
        ("standup.wav", None),
        ("_mic.wav", None),
        ("standup_mic", None),
        ("standup_mic.", None),
        ("standup_mic.2.wav", None),
        ("standup_mic.wav.part", None),
    ],
)
def test_a_name_is_a_track_when_a_pattern_matches_all_of_it(name: str, expected: TrackName | None) -> None:
    assert match(name, PATTERNS) == expected


def test_the_pattern_with_the_most_literal_text_wins() -> None:
    patterns = {"any": "*_audio.*", "system": "*_system_audio.*"}
    assert match("standup_system_audio.wav", patterns) == TrackName("system", "standup")
    assert match("standup_audio.wav", patterns) == TrackName("any", "standup")


def test_the_star_may_stand_at_the_end_and_the_suffix_may_be_given_or_left_out() -> None:
    assert match("mic-standup.wav", {"microphone": "mic-*.*"}) == TrackName("microphone", "standup")
    assert match("standup_mic.wav", {"microphone": "*_mic.wav"}) == TrackName("microphone", "standup")
    assert match("standup_mic.mp3", {"microphone": "*_mic.wav"}) is None
    assert match("standup_mic.m4a", {"microphone": "*_mic.m*"}) == TrackName("microphone", "standup")
    assert match("standup_mic.mp3", {"microphone": "*_mic"}) == TrackName("microphone", "standup")


def test_signs_of_other_pattern_languages_mean_themselves() -> None:
    assert match("call (1)?.wav", {"one": "* (1)?.*"}) == TrackName("one", "call")
    assert match("call (1).wav", {"one": "* (1)?.*"}) is None


def test_accents_may_be_spelled_in_either_way() -> None:
    """macOS and its archives take letters and accents apart; keyboards do not."""
    composed, apart = (normalize(form, "Zoë") for form in ("NFC", "NFD"))
    for spelling in (composed, apart):
        assert match(f"{spelling}_micro.wav", {"Zoë": f"*_{composed}.*", "mic": "*_micro.*"}) == ("mic", composed)
        assert match(f"standup_{spelling}.wav", {"Zoë": f"*_{apart}.*"}) == ("Zoë", "standup")


@given(st.text(min_size=1), st.sampled_from(sorted(PATTERNS)), st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True))
def test_any_title_survives_the_pattern(title: str, label: str, suffix: str) -> None:
    name = PATTERNS[label].removesuffix("*").replace("*", title, 1) + suffix
    assert match(name, PATTERNS) == TrackName(label, normalize("NFC", title))


def test_a_single_track_gives_the_recording_its_own_identity() -> None:
    assert content_id(["abc"]) == "abc"


def test_several_tracks_identify_a_recording_in_whatever_order_they_come() -> None:
    both = content_id(["aa", "bb"])
    assert both == content_id(["bb", "aa"]) == hashlib.blake2b(b"aa\nbb", digest_size=20).hexdigest()
    assert both != content_id(["aab", "b"])
    assert len(both) == 40
