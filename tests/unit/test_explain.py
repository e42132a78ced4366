from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from panotti_daemon.explain import explain, suggest


class Template(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def _is_closed(cls, text: str) -> str:
        if "{" in text:
            raise AssertionError(f"{text} is not closed")
        return text


def test_what_a_plugins_own_validator_says_is_told_word_by_word_braces_and_all() -> None:
    with pytest.raises(ValidationError) as caught:
        Template(text="{name")
    assert explain(caught.value, Template) == (["text"], "{name is not closed (it is '{name')")


def test_where_nothing_is_allowed_nothing_is_suggested() -> None:
    assert suggest("word", ()) == ""
    assert suggest("word", ["words"]) == "; did you mean words?"
    assert suggest("word", ["b", "a"]) == "; allowed: a, b"
