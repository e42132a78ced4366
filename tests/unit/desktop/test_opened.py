from __future__ import annotations

from pathlib import Path

import pytest

from panotti_daemon.desktop.opened import Opened

TOLD = "A notification tells when its transcript is there."


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (Opened(taken=["talk.mp3"]), ("Transcribing talk.mp3", TOLD)),
        (Opened(taken=["a", "b", "c", "d", "e"]), ("Transcribing 5 files", "a\nb\nc\nand 2 more")),
        (Opened(transcribed=[Path("/out/talk.txt")]), None),
        (Opened(taken=["a"], refused={"b": "it is empty"}), ("b cannot be transcribed", "it is empty")),
        (
            Opened(refused={"a": "it is empty", "b": "it is a folder"}),
            ("2 files cannot be transcribed", "a: it is empty\nb: it is a folder"),
        ),
    ],
)
def test_what_went_wrong_is_told_before_what_goes_well(opened: Opened, words: tuple[str, str] | None) -> None:
    assert opened.words == words
