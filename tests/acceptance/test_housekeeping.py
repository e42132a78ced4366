"""What Panotti itself leaves behind goes by itself; a model only after a yes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from panotti_daemon.engine.models.store import STARTER, local_models
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.watching import memo, watch

LONG_AGO = time.time() - 400 * 24 * 3600


def long_unused_model(daemon: Panotti) -> Path:
    folder = daemon.paths.models / "base"
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (folder / name).write_bytes(bytes(1_000_000))
    os.utime(folder, (LONG_AGO, LONG_AGO))
    return folder


def test_at_its_start_the_daemon_removes_what_a_crash_left(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti()
    left = daemon.transcripts / "calls" / ".panotti-0a1b2c3d.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a transcript")
    os.utime(left, (LONG_AGO, LONG_AGO))
    with daemon:
        wait_until(lambda: not left.exists(), "it is removed")
        lines = wait_until(
            lambda: [line for line in daemon.log_lines() if line["event"] == "leftovers removed"], "it is told"
        )
    assert [line["bytes"] for line in lines] == [17]


def test_a_model_that_is_used_is_not_asked_about(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    daemon = panotti({"watch": [watch(tmp_path / "in", model="mine")]})
    starter = next(model for model in local_models(tmp_path) if model.name == STARTER)
    mine = daemon.paths.models / "mine"
    mine.mkdir(parents=True)
    for file in starter.path.iterdir():
        (mine / file.name).symlink_to(file)
    os.utime(mine, (LONG_AGO, LONG_AGO))
    with daemon:
        daemon.wait_for(memo(tmp_path / "in" / "memo.wav"), FileState.DONE)
    assert mine.stat().st_mtime > LONG_AGO


def test_a_model_that_is_not_used_is_asked_about(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti({"engine": {"model": "tiny.en"}})
    model = long_unused_model(daemon)
    doctor = daemon.command("doctor").stdout
    assert "base was last used on" in doctor
    assert "panotti models remove base" in doctor

    listed = {found["name"]: found for found in json.loads(daemon.command("models", "list", "--json").stdout)["models"]}
    assert (listed["base"]["size"], listed["base"]["source"]) == (3_000_000, "panotti")
    assert listed["tiny.en"]["source"] == "starter"
    assert "3 MB  99 languages  last used on" in daemon.command("models", "list").stdout

    assert daemon.command("models", "remove", "base").returncode == 1
    assert model.exists()
    removed = daemon.command("models", "remove", "base", "--yes")
    assert removed.stdout == "3 MB freed.\n"
    assert not model.exists()
    again = daemon.command("models", "remove", "base", "--yes")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "Panotti downloaded no base" in again.stderr
