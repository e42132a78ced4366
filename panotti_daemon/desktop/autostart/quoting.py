"""Commands as systemd units and desktop entries hold them, there and back. Neither is the shell's way.

systemd: systemd.syntax(7) "Quoting", systemd.service(5) "Command lines". Desktop entries: their specification's
"The Exec key" on top of "Possible value types".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNIT_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_EXEC_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = re.compile(r"[\w@+:,./-]+", re.ASCII)
_STRING_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_SHELL = ("/bin/sh", "-c", 'exec "$0" "$@"')
_NOT_IN_PROGRAMS = frozenset("\"'\\=%")
"""systemd takes no quotes and backslashes in a program's own path, desktop entries no `=`, and GLib no `%`."""


def unit_word(word: str) -> str:
    r"""One word of a setting that splits its value into words, as Environment= does.

    >>> print(unit_word('/100 % "new"/a\\b'))
    "/100 %% \"new\"/a\\b"
    """
    return '"' + unit_path(word.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def unit_path(path: str) -> str:
    """The value of a setting that is one path to its end, as ConditionPathExists= has it."""
    return path.replace("%", "%%")


def unit_command(words: Sequence[str]) -> str:
    """For ExecStart=: with `:` a dollar is a dollar. It stands inside the quotes, which may open a word only."""
    return " ".join(map(unit_word, (f":{words[0]}", *words[1:])))


def split_unit_command(command: str) -> list[str]:
    words = [_ESCAPED.sub(r"\1", quoted) or plain for quoted, plain in _UNIT_WORD.findall(command)]
    words[:1] = [word.lstrip("@-:+!") for word in words[:1]]
    return [word.replace("%%", "%") for word in words]


def entry_string(value: str) -> str:
    """A value of type string."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def split_entry_string(value: str) -> str:
    return _ESCAPED.sub(lambda match: _STRING_ESCAPES.get(match[1], match[0]), value)


def entry_command(words: Sequence[str]) -> str:
    """For Exec=: quoted as an argument, then as a string, so that a backslash becomes four."""
    return " ".join(map(_entry_word, words))


def _entry_word(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    quoted = re.sub(r'(["`$\\])', r"\\\1", word.replace("%", "%%"))
    return entry_string(f'"{quoted}"')


def split_entry_command(command: str) -> list[str]:
    words = _EXEC_WORD.findall(split_entry_string(command))
    return [(_ESCAPED.sub(r"\1", quoted) or plain).replace("%%", "%") for quoted, plain in words]


def startable(words: Sequence[str]) -> Sequence[str]:
    """The same command, begun with a program whose path both take."""
    return (*_SHELL, *words) if _NOT_IN_PROGRAMS.intersection(words[0]) else words


def started(words: Sequence[str]) -> Sequence[str]:
    """What `startable` was given."""
    return words[len(_SHELL) :] if tuple(words[: len(_SHELL)]) == _SHELL else words
