"""The tutorial of docs/plugins.md, taken from the page itself."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
TUTORIAL = PAGE.split("\n## Your first plugin, in ten minutes\n")[1].split("\n## ")[0]
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
*EDITS, BREAK = re.findall(r"^```diff\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)


def apply(folder: Path, edits: list[str]) -> None:
    """As a person would: finds the lines of each edit in one of the plugin's files, and changes them there."""
    for edit in edits:
        lines = edit.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        [file] = [f for f in folder.iterdir() if f.is_file() and before in f.read_text(encoding="utf-8")]
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, edit
        file.write_text(text.replace(before, after), encoding="utf-8")


def changed_lines(edits: list[str]) -> int:
    return sum(line.startswith("+") for edit in edits for line in edit.splitlines())
