"""What is wrong with something that a user wrote, in words for the user: pydantic's errors, translated once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Location = list[str | int]

WORDS = {
    "missing": "is missing",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "path_type": "must be a path",
    "dict_type": "must hold keys with values",
    "model_type": "must hold keys with values",
    "tuple_type": "must be a list",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must look like {pattern}",
}

IN_KEY = "[key]"
"""Pydantic's word for a key, and not its value, that is wrong."""

NOT_SHOWN = {"missing", "secret"}
"""`secret` is ours: raised for what may be one."""


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[Location, str]:
    """The key of the first thing that is wrong, as the user wrote it, and what is wrong with it."""
    return explain_all(error, model)[0]


def explain_all(error: ValidationError, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """Each key that something is wrong with, once. What is missing comes last: a misspelt key explains it."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for found in sorted(error.errors(), key=lambda e: e["type"] == "missing"):
        by_key.setdefault(dotted(_written(found["loc"], model)[0]), []).append(found)
    return [_explained(errors, model) for errors in by_key.values()]


def _explained(same: list[ErrorDetails], model: type[BaseModel]) -> tuple[Location, str]:
    location, owner = _written(same[0]["loc"], model)
    if same[0]["type"] == "extra_forbidden":
        return location, f"there is no such key{suggest(str(location[-1]), owner.model_fields if owner else ())}"
    first, *others = dict.fromkeys(_words(e) for e in same)  # of a union, each branch has its own
    what = " or ".join([first, *(other.removeprefix("must be ") for other in others)])
    value = same[0]["input"]
    is_hidden = same[0]["type"] in NOT_SHOWN or isinstance(value, dict | list | tuple)
    shown = "" if is_hidden else f" (it is {_shown(value)})"
    return location, what + shown


def suggest(word: str, known: Iterable[str]) -> str:
    allowed = sorted(known)
    near = difflib.get_close_matches(word, allowed, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; allowed: {', '.join(allowed)}" if allowed else ""


def dotted(location: Location) -> str:
    """As in `watch[0].settle_seconds`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _words(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "assertion_error":
        return error["msg"].removeprefix("Assertion failed, ")
    if error["type"] == "string_type" and type(error["input"]) in (int, float):
        return "must be text: put it in quotes"
    if words := WORDS.get(error["type"]):
        return words.format(**error.get("ctx", {}))
    return error["msg"]


def _shown(value: object) -> str:
    return "empty" if value is None or value == "" else repr(value)


def _written(location: tuple[str | int, ...], model: type[BaseModel]) -> tuple[Location, type[BaseModel] | None]:
    """The part of a pydantic error's location that the user wrote, without the branches of unions, and the model
    that holds its last key."""
    written: Location = []
    owner: type[BaseModel] | None = None
    within: type[BaseModel] | None = model
    mapping = False
    for part in location:
        if isinstance(part, int) or mapping:
            written.append(part)
            mapping = False
            continue
        if within is None or part == IN_KEY:
            break
        owner, written = within, [*written, part]
        field = within.model_fields.get(part)
        annotation = field.annotation if field else None
        mapping = get_origin(annotation) is dict
        within = next((t for t in _types_in(annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)
    return written, owner


def _types_in(annotation: Any) -> list[Any]:
    inner = [t for argument in get_args(annotation) for t in _types_in(argument)]
    return [annotation, *inner]
