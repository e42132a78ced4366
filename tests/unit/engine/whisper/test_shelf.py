"""Damaged models, with real weights in a real engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ctranslate2 import get_supported_compute_types

from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.machine import hardware
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.models.checksums import write_record
from panotti_daemon.engine.models.damage import known_damage
from panotti_daemon.engine.models.store import is_complete, resolve
from panotti_daemon.engine.whisper.shelf import Shelf
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.errors import ModelDamaged, ModelUnavailable
from panotti_daemon.models.transcript.models import RequestedSettings
from panotti_daemon.settings.resources import DEFAULT, Resources
from tests.speech import SAMPLE


def take(models: Path, setting: str = "auto", shelf: Shelf | None = None) -> Transcriber:
    return (shelf or Shelf(DEFAULT)).take(
        setting, models, language="en", workers=1, on_download=lambda _name, _fraction: None
    )


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """With `base.en`, which is really the starter model, and would be chosen before it."""
    starter = resolve("tiny.en", tmp_path, download=False).path
    shutil.copytree(starter, tmp_path / "base.en")
    return tmp_path


def truncate(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def test_the_model_is_kept_in_memory_from_one_recording_to_the_next(models: Path) -> None:
    shelf = Shelf(DEFAULT)
    assert take(models, shelf=shelf) is take(models, shelf=shelf)
    assert take(models, "tiny.en", shelf).model.name == "tiny.en"


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json"])
def test_a_truncated_model_gives_way_to_the_next_best_and_the_transcript_says_so(models: Path, name: str) -> None:
    truncate(models / "base.en" / name)
    assert is_complete(models / "base.en")
    transcriber = take(models)
    assert transcriber.model.name == "tiny.en"
    result = transcriber.transcribe([Track(path=SAMPLE)], RequestedSettings(), gate=Gate())
    assert result.segments
    assert result.model == "tiny.en"
    (warning,) = result.warnings
    assert warning.startswith("The model base.en is damaged (it cannot be loaded")
    assert warning.endswith("`panotti models pull base.en` fetches it anew")


def test_an_altered_model_that_would_load_is_found_out_by_its_checksum(models: Path) -> None:
    weights = models / "base.en" / "model.bin"
    write_record(models / "base.en", {"model.bin": "0" * 64})
    weights.touch()
    assert take(models).model.name == "tiny.en"
    assert known_damage(models / "base.en", models) == "model.bin is not what was published"


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="there is a GPU")
def test_a_gpu_that_fails_leaves_the_work_to_the_processor(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_asked_for_gpu", lambda: None)  # as if CTranslate2 had promised one
    monkeypatch.setattr(hardware, "_ruled_out", None)
    transcriber = take(models)
    assert "CUDA" in (hardware.gpu_problem() or "")
    assert known_damage(transcriber.model.path, models) is None
    assert transcriber.transcribe([Track(path=SAMPLE)], RequestedSettings(), gate=Gate()).segments


def test_a_damaged_model_that_is_named_is_an_error_until_it_is_mended(models: Path) -> None:
    truncate(models / "base.en" / "model.bin")
    for _ in range(2):
        with pytest.raises(ModelDamaged, match=r"base.en is damaged.*`panotti models pull base.en`"):
            take(models, "base.en")
    shutil.copy(resolve("tiny.en", models, download=False).path / "model.bin", models / "base.en" / "model.bin")
    assert take(models, "base.en").model.name == "base.en"


def test_a_compute_type_that_the_processor_does_not_know_is_no_damage(models: Path) -> None:
    unknown = sorted({"float16", "bfloat16", "int8_float16"} - get_supported_compute_types("cpu"))
    if not unknown:
        pytest.skip("this processor knows all of them")
    resources = Resources(device="cpu", compute_type=unknown[0])
    with pytest.raises(ModelUnavailable, match=f"engine.compute_type is {unknown[0]}, .* Set it to auto") as caught:
        take(models, shelf=Shelf(resources))
    assert not isinstance(caught.value, ModelDamaged)
    assert known_damage(models / "base.en", models) is None
    assert take(models).model.name == "base.en"
