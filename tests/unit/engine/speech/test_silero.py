"""With the weights of the real package, whose wheel is fetched without PyTorch, on which it depends."""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray

from panotti_daemon.engine.media.audio import SAMPLE_RATE, decode
from panotti_daemon.engine.speech import silero
from panotti_daemon.engine.speech.windows import SPEECH, SpeechDetector
from tests.speech import librivox_sentences

VERSION = "6.2.3"


@pytest.fixture(scope="session")
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import it from."""
    assert request.config.cache
    wheels = request.config.cache.mkdir("wheels")
    if not list(wheels.glob(f"silero_vad-{VERSION}-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
        subprocess.run([*pip, f"silero-vad=={VERSION}"], check=True)
    folder = tmp_path_factory.mktemp("site-packages")
    with ZipFile(next(wheels.glob(f"silero_vad-{VERSION}-*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    silero.session.cache_clear()
    yield
    silero.session.cache_clear()


def heard(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """In two blocks, so that the state has to be kept."""
    detector, half = SpeechDetector(), len(samples) // 2 // 512 * 512
    return np.array([*detector(samples[:half]), *detector(samples[half:])])


@pytest.fixture
def speech() -> NDArray[np.float32]:
    path = min(librivox_sentences(), key=lambda path: path.stat().st_size)
    with wave.open(str(path)) as sentence:
        assert sentence.getframerate() == SAMPLE_RATE
    spoken = np.concatenate([np.asarray(block) for block in decode(path, print)])
    return np.concatenate([np.zeros(SAMPLE_RATE, np.float32), spoken, np.zeros(SAMPLE_RATE, np.float32)])


def test_the_weights_of_an_installed_package_are_used_and_it_is_not_imported(
    package: Path, monkeypatch: pytest.MonkeyPatch, speech: NDArray[np.float32]
) -> None:
    carried = heard(speech)
    silero.session.cache_clear()
    monkeypatch.syspath_prepend(str(package))
    weights = silero.package_weights()
    assert weights is not None
    assert weights.is_relative_to(package)
    newer = heard(speech)
    assert not {"silero_vad", "torch"} & set(sys.modules)
    assert len(newer) == len(carried)
    assert np.mean((newer > SPEECH) == (carried > SPEECH)) > 0.95
    assert (newer > SPEECH).mean() > 0.4
    second = SAMPLE_RATE // 512
    assert (newer[: second - 5] < SPEECH).all()


def test_without_the_package_the_copy_in_faster_whisper_is_used() -> None:
    assert silero.package_weights() is None
    assert {put.name for put in silero.session().get_inputs()} == {"input", "h", "c"}
