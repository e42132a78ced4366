"""By `panotti models pull`, in a process of its own: the hub's library reads its environment once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from panotti_daemon.engine.models.checksums import Verdict, verify
from panotti_daemon.engine.models.store import is_complete
from tests.daemon import wait_until
from tests.hub import FILES, WEIGHTS, Hub, model_folder, running

HALF = len(WEIGHTS) // 2


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running(Hub()) as hub:
        yield hub


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


def begin(models: Path, endpoint: str, name: str = "base", **environment: str) -> subprocess.Popen[str]:
    home = models.parent.parent
    return subprocess.Popen(
        [sys.executable, "-m", "panotti_daemon", "--home", str(home), "models", "pull", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(home / "cache"), **environment},
    )


def pull(models: Path, endpoint: str, name: str = "base", **environment: str) -> tuple[int, str]:
    process = begin(models, endpoint, name, **environment)
    try:
        out, complaint = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out + complaint


def partial_size(models: Path) -> int:
    return sum(part.stat().st_size for part in (models / ".base.download").glob("model.bin.*.part"))


def test_a_model_is_downloaded_and_every_checksum_is_noted(hub: Hub, models: Path) -> None:
    status, said = pull(models, hub.url)
    assert (status, said) == (0, f"base is in {models / 'base'}; every checksum is right.\n")
    kept = {path.name for path in (models / "base").iterdir()}
    assert kept == {"config.json", "model.bin", "tokenizer.json", "checksums.json"}
    noted = json.loads((models / "base" / "checksums.json").read_bytes())
    assert {name: len(about["digest"]) for name, about in noted.items()} == {
        "config.json": 40,
        "model.bin": 64,
        "tokenizer.json": 40,
    }
    assert verify(models / "base").verdict is Verdict.WHOLE
    assert [path.name for path in models.iterdir()] == ["base"]


def test_a_connection_that_breaks_is_made_anew_and_goes_on_from_there(hub: Hub, models: Path) -> None:
    hub.cut_after = [len(FILES["config.json"]), HALF, 1000]
    assert pull(models, hub.url)[0] == 0
    ranges = [wanted for name, wanted in hub.asked if name == "model.bin"]
    assert ranges[0] is None
    assert [wanted for wanted in ranges[1:] if wanted] == [f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert (models / "base" / "model.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_download_that_is_broken_off_goes_on_from_there_the_next_time(hub: Hub, models: Path, name: str) -> None:
    if not hasattr(signal, name):
        pytest.skip("needs signals")
    hub.slow = True
    process = begin(models, hub.url)
    wait_until(lambda: partial_size(models) > 2 * 2**20, "some of it has arrived")
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=30)
    assert process.returncode == (130 if name == "SIGINT" else -9)
    assert not (models / "base").exists()
    arrived = partial_size(models)
    assert arrived

    hub.slow, hub.asked = False, []
    assert pull(models, hub.url)[0] == 0
    assert hub.asked == [("model.bin", f"bytes={arrived}-"), ("tokenizer.json", None)]
    assert (models / "base" / "model.bin").read_bytes() == WEIGHTS


def test_what_was_damaged_on_its_way_is_no_model_and_is_not_kept(hub: Hub, models: Path) -> None:
    hub.sent["model.bin"] = WEIGHTS[:-1] + b"!"
    status, said = pull(models, hub.url)
    assert status == 1
    assert "model.bin of the model 'base' was damaged on its way: try again" in said
    assert not (models / "base").exists()
    assert partial_size(models) == 0
    hub.sent.clear()
    assert pull(models, hub.url)[0] == 0


def test_a_damaged_model_is_replaced_and_one_that_cannot_be_fetched_stays(hub: Hub, models: Path) -> None:
    pull(models, hub.url)
    (models / "base" / "model.bin").write_bytes(b"rubbish")
    hub.sent["model.bin"] = b"?" * len(WEIGHTS)
    assert pull(models, hub.url)[0] == 1
    assert (models / "base" / "model.bin").read_bytes() == b"rubbish"
    hub.sent.clear()
    assert pull(models, hub.url)[0] == 0
    assert verify(models / "base").verdict is Verdict.WHOLE


@pytest.mark.parametrize("sent", [b"", b"<html>", WEIGHTS + b"and more"])
def test_what_comes_with_another_length_is_not_waited_for(sent: bytes, hub: Hub, models: Path) -> None:
    hub.sent["model.bin"] = sent
    status, said = pull(models, hub.url)
    assert status == 1
    assert "model.bin of the model 'base' was damaged on its way" in said
    assert partial_size(models) == 0


def test_a_hub_that_has_no_time_is_told_from_a_network_that_is_not_there(hub: Hub, models: Path) -> None:
    hub.refuses = [503]
    assert "could not be downloaded: the hub answers 503 Service Unavailable" in pull(models, hub.url)[1]


def test_a_page_in_place_of_the_hub_is_told_as_such(hub: Hub, models: Path) -> None:
    hub.is_another_page = True
    status, said = pull(models, hub.url)
    assert status == 1
    assert "could not be downloaded: what answers is not the Hugging Face hub" in said


def test_a_repository_without_a_model_for_this_engine_is_refused_before_anything_is_fetched(
    hub: Hub, models: Path
) -> None:
    hub.files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}
    status, said = pull(models, hub.url)
    assert status == 1
    assert "holds no Whisper model for CTranslate2" in said
    assert hub.asked == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no sparse files")
def test_what_is_there_already_needs_no_room(hub: Hub, models: Path) -> None:
    partial = models / ".base.download"
    partial.mkdir(parents=True)
    with (partial / "model.bin").open("wb") as sparse:
        sparse.truncate(shutil.disk_usage(models).free)
    hub.sizes["model.bin"] = (partial / "model.bin").stat().st_size
    hub.refuses = [503]  # to config.json, before the weights are looked at
    assert "the hub answers 503" in pull(models, hub.url)[1]


def test_a_link_to_a_model_elsewhere_gives_way_and_what_it_leads_to_stays(hub: Hub, models: Path) -> None:
    elsewhere = model_folder(models.parents[1] / "elsewhere")
    models.mkdir(parents=True)
    (models / "base").symlink_to(elsewhere)
    assert pull(models, hub.url)[0] == 0
    assert not (models / "base").is_symlink()
    assert is_complete(elsewhere)


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(hub: Hub, models: Path) -> None:
    hub.sizes["model.bin"] = shutil.disk_usage(models.parents[1]).free
    status, said = pull(models, hub.url)
    assert status == 1
    assert "There is no room for the model 'base'" in said
    assert hub.asked == []


def test_only_one_process_downloads_a_model(hub: Hub, models: Path) -> None:
    hub.slow = True
    first = begin(models, hub.url)
    wait_until(lambda: partial_size(models) > 0, "some of it has arrived")
    assert "is being downloaded by another process" in pull(models, hub.url)[1]
    hub.slow = False
    first.kill()
    first.communicate()


def test_what_nobody_has_is_said_to_be_so(hub: Hub, models: Path) -> None:
    assert "There is no model named 'nonsense'" in pull(models, hub.url, "nonsense")[1]
    for name in ("some/body", "no--such/name"):
        assert f"The Hugging Face hub has no model {name!r} to give" in pull(models, hub.url, name)[1]


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_without_a_network_nothing_hangs(environment: dict[str, str], models: Path) -> None:
    status, said = pull(models, **{"endpoint": "http://127.0.0.1:9", **environment})
    assert status == 1
    assert "The model 'base' could not be downloaded: is there a network?" in said
    assert not is_complete(models / "base")
