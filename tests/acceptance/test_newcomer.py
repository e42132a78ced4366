"""A person who has never seen the code follows docs/plugins.md, word by word."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable

from panotti_daemon.paths import bundled
from tests.daemon import Panotti, wait_until
from tests.tutorial import BREAK, COMMANDS, EDITS, apply


def test_a_newcomer_makes_changes_breaks_and_mends_a_plugin(panotti: Callable[..., Panotti]) -> None:
    exports, typed = [c for c in COMMANDS if c.startswith("export")], [c for c in COMMANDS if c.startswith("panotti")]
    variables = dict(export.removeprefix("export ").split("=") for export in exports)
    run, new, check, reload, events, show, replay, listing = typed
    assert run == "panotti run"

    with panotti(environment=variables) as daemon:
        folder, diary = daemon.paths.plugins / "meeting_log", daemon.transcripts / "diary.md"

        def follow(command: str) -> str:
            ended = daemon.command(*shlex.split(command)[1:])
            assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
            return ended.stdout

        def lines() -> list[str]:
            return diary.read_text(encoding="utf-8").splitlines() if diary.exists() else []

        assert str(folder) in follow(new)
        apply(folder, EDITS)
        assert follow(check) == "meeting_log is fine.\n"
        assert follow(reload) == "meeting_log 1.0.0 runs.\n"

        shutil.copy(bundled("resources") / "samples" / "two-voices.wav", daemon.recordings)
        [line] = wait_until(lines, "the plugin has written its line")
        words = bundled("resources").joinpath("samples", "two-voices.txt").read_text(encoding="utf-8").split()
        assert "[two-voices]" in line
        assert line.split("0:19, ")[1].split()[0].strip(",.").lower() == words[0].strip(",.").lower()
        assert "meeting_log done" in follow(events)
        assert "running" in follow(show)

        diary.unlink()
        follow(replay)
        assert wait_until(lines, "the same event makes the same line") == [line]

        apply(folder, [BREAK])
        broken = f"goes on as it was: {folder / 'plugin.py'}:24: SyntaxError"
        wait_until(lambda: broken in follow(listing), "the mistake is named with its line")
        assert broken in daemon.command("status").stdout
        diary.unlink()
        follow(replay)
        assert wait_until(lines, "the version before goes on") == [line]

        mended = "\n".join({"-": "+", "+": "-"}.get(line[0], line[0]) + line[1:] for line in BREAK.splitlines())
        apply(folder, [mended])
        wait_until(lambda: broken not in follow(listing), "the complaint is gone")
