from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from panotti_daemon import plain_yaml


@pytest.mark.parametrize(
    "text",
    [
        *("no", "No", "off", "on", "yes", "y"),
        *("25:00", "22:30:15.5", "22:00-07:00", "2026-11-23", "2026-13-45", "12:30:00Z"),
        *("010", "007", "1_000", "0b1", "0o10", "1e3", "1.5e3", "1.2.3", "=", "Anna and Ben"),
    ],
)
def test_what_versions_of_yaml_read_differently_is_text_and_stays_text_when_pyyaml_writes_it(text: str) -> None:
    assert plain_yaml.parse(text) == text
    assert plain_yaml.parse(f"[{text}]") == [text]
    assert plain_yaml.parse(yaml.safe_dump({"key": text})) == {"key": text}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None)),
        *(("3", 3), ("-3", -3), ("0", 0), ("0x10", 16), ("0.5", 0.5), ("5.", 5.0), (".5", 0.5), ("1.0e+3", 1000.0)),
        *((".inf", math.inf), ("-.inf", -math.inf), ("'3'", "3"), ('"no"', "no"), ("'null'", "null"), ("''", "")),
        ("[a, 1, true]", ["a", 1, True]),
        ("{a: {b: no}}", {"a": {"b": "no"}}),
    ],
)
def test_what_all_of_them_read_alike_is_that(written: str, value: Any) -> None:
    assert plain_yaml.parse(written) == value
    assert type(plain_yaml.parse(written)) is type(value)


def test_keys_are_text() -> None:
    assert plain_yaml.parse("{no: 1, 2: 2, null: 3, 1.0: 4}") == {"no": 1, "2": 2, "null": 3, "1.0": 4}


def test_what_another_mapping_holds_can_be_taken_in() -> None:
    assert plain_yaml.parse("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}") == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}
