from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from panotti_daemon.engine.models.store import STARTER, resolve
from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.hub import Hub, running
from tests.watching import memo, watch


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running(Hub()) as hub:
        yield hub


@pytest.fixture
def online(panotti: Callable[..., Panotti], hub: Hub, tmp_path: Path) -> Panotti:
    cache = str(tmp_path / "cache")
    return panotti(environment={"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": cache})


def starter_as(daemon: Panotti, name: str) -> Path:
    """A model of another name, which really is the starter model."""
    folder = daemon.paths.models / name
    shutil.copytree(resolve(STARTER, daemon.paths.models, download=False).path, folder)
    return folder


def document(daemon: Panotti, recording: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((daemon.transcripts / f"{recording.stem}.json").read_text())
    return found


def test_a_model_is_pulled_with_progress_in_the_status_and_then_is_here(online: Panotti, hub: Hub) -> None:
    hub.slow = True
    with online as daemon:
        assert daemon.post("/models/pull", {"model": "base"})["model"] == "base"
        wait_until(lambda: any(d.fraction and d.fraction < 1 for d in daemon.status().downloads), "it is on its way")
        hub.slow = False
        wait_until(lambda: daemon.status().downloads == [], "it has arrived")
        listed = {model["name"]: model for model in daemon.get("/models")["models"]}
        assert listed["base"]["source"] == "panotti"
        assert listed["base"]["path"] == str(daemon.paths.models / "base")
        assert listed["large-v3"]["source"] is None
    assert daemon.command("models", "verify", "base").stdout == (
        "base                 whole    every checksum is right\n"
    )


def test_a_download_that_is_ended_or_fails_goes_on_from_there(online: Panotti, hub: Hub) -> None:
    hub.slow = True
    with online as daemon:
        daemon.post("/models/pull", {"model": "base"})
        wait_until(lambda: any((d.fraction or 0) > 0.2 for d in daemon.status().downloads), "some of it is here")
        daemon.post("/models/pull/cancel", {"model": "base"})
        assert daemon.status().downloads == []
        hub.slow, hub.asked, hub.cut_after = False, [], [0]
        daemon.post("/models/pull", {"model": "base"})
        failed = wait_until(lambda: [d for d in daemon.status().downloads if d.problem], "it fails")
        assert "could not be downloaded" in str(failed[0].problem)
        daemon.post("/models/pull", {"model": "base"})
        wait_until(lambda: daemon.status().downloads == [], "it has arrived")
    assert [wanted for name, wanted in hub.asked if name == "model.bin" and not wanted] == []


def test_a_chosen_model_is_used_at_once_and_still_after_a_restart(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    daemon = panotti({"watch": [watch(folder)], "engine": {"model": "tiny.en"}})
    starter_as(daemon, "base.en")
    written = daemon.paths.config_file.read_text()
    with daemon:
        used = daemon.command("models", "use", "base.en")
        assert used.stdout == f"engine.model is base.en ({daemon.paths.chosen_model}).\n"
        daemon.wait_for(after := memo(folder / "after.wav", 1), FileState.DONE)
        daemon.restart()
        daemon.wait_for(later := memo(folder / "later.wav", 2), FileState.DONE)
        assert daemon.command("models", "use", "--unset").returncode == 0
        daemon.wait_for(last := memo(folder / "last.wav", 3), FileState.DONE)
    models = [document(daemon, recording)["model"] for recording in (after, later, last)]
    assert models == ["base.en", "base.en", "tiny.en"]
    assert daemon.paths.config_file.read_text() == written


def test_what_overrules_a_choice_is_named(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    daemon = panotti({"watch": [{"path": str(tmp_path / "in"), "model": "tiny.en"}]})
    told = daemon.command("models", "use", "small").stdout
    assert f"{tmp_path / 'in'} names a model of its own: tiny.en." in told
    daemon.environment["PANOTTI_ENGINE__MODEL"] = "tiny.en"
    refused = daemon.command("models", "use", "base")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "environment PANOTTI_ENGINE__MODEL says otherwise" in refused.stderr
    with daemon:
        assert daemon.request("POST", "/models/use", json={"model": "base"}).status_code == 409


def test_a_model_that_nobody_knows_is_refused(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        for route in ("use", "pull"):
            assert daemon.request("POST", f"/models/{route}", json={"model": "nonsense"}).status_code == 503
        assert daemon.get("/models")["setting"] == "auto"
        pulled = daemon.command("models", "pull", "nonsense")
        assert (pulled.returncode, pulled.stdout) == (1, "")
        assert pulled.stderr.startswith("The download failed: There is no model named 'nonsense'")


def test_auto_uses_the_best_model_that_is_not_damaged_and_says_so_everywhere(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    daemon = panotti({"watch": [watch(tmp_path / "in")]})
    with (starter_as(daemon, "base.en") / "model.bin").open("r+b") as weights:
        weights.truncate(1_000_000)
    with daemon:
        daemon.wait_for(recording := memo(tmp_path / "in" / "call.wav"), FileState.DONE)
        (problem,) = daemon.status().problems
    found = document(daemon, recording)
    assert found["model"] == "tiny.en"
    assert "The model base.en is damaged" in found["warnings"][0]
    assert "tiny.en was used instead" in found["warnings"][0]
    assert problem.startswith("The model base.en is damaged")
    assert problem.endswith("`panotti models pull base.en` fetches it anew")
    assert "✗ model: base.en in" in daemon.command("doctor").stdout
    listed = daemon.command("models", "list").stdout
    assert "damaged: it cannot be loaded" in listed
    assert "auto means tiny.en" in listed


def test_the_log_says_which_model_is_used_and_why(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        lines = wait_until(lambda: [line for line in daemon.log_lines() if line["event"] == "model"], "it is logged")
        assert lines[0]["model"] == STARTER
        assert lines[0]["why"] == "is the only one here that fits"
        assert "GB" in lines[0]["machine"]


def test_verify_finds_what_was_altered_and_pull_mends_it(online: Panotti) -> None:
    assert online.command("models", "pull", "base").returncode == 0
    assert stat.S_IMODE(online.paths.data.stat().st_mode) == 0o700
    weights = online.paths.models / "base" / "model.bin"
    weights.write_bytes(b"?" + weights.read_bytes()[1:])
    found = online.command("models", "verify", "--json")
    assert found.returncode == 1
    verdicts = {model["name"]: model["verdict"] for model in json.loads(found.stdout)}
    assert verdicts == {"base": "damaged", STARTER: "whole"}
    assert "base in" in online.command("doctor").stdout
    assert online.command("models", "pull", "base").returncode == 0
    assert online.command("models", "verify").returncode == 0
