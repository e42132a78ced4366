"""With a model that knows many languages, which two packages carry."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks import models
from benchmarks.corpus import CACHE
from panotti_daemon.engine.gate import Gate
from panotti_daemon.engine.messages import Track
from panotti_daemon.engine.whisper.job import DOUBTFUL
from panotti_daemon.engine.whisper.transcriber import Transcriber
from panotti_daemon.models.transcript.models import RequestedSettings, Transcription
from tests.speech import SAMPLE, SAMPLE_TEXT, plain, word_error_rate

SPOKEN = {
    "de": "Guten Morgen, meine Damen und Herren. Heute sprechen wir über das Wetter in den nächsten Tagen.",
    "it": "Buongiorno a tutti, sono contento che siate venuti oggi. Prima di tutto parliamo della nuova cucina.",
    "es": "Buenos días a todos. Hoy vamos a hablar de la reunión de la próxima semana en la ciudad.",
}


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "base.lock"):
        return Transcriber(models.model("base"), workers=2)


def hear(transcriber: Transcriber, path: Path, **settings: str) -> Transcription:
    return transcriber.transcribe([Track(path=path)], RequestedSettings.model_validate(settings), gate=Gate())


def heard(result: Transcription) -> str:
    return " ".join(segment.text for segment in result.segments)


def spoken(folder: Path, language: str) -> Path:
    path = folder / f"{language}.wav"
    subprocess.run(["espeak-ng", "-v", language, "-s", "140", "-w", str(path), SPOKEN[language]], check=True)
    return path


@pytest.mark.parametrize("language", SPOKEN)
def test_the_language_is_found_with_its_probability(transcriber: Transcriber, tmp_path: Path, language: str) -> None:
    result = hear(transcriber, spoken(tmp_path, language))
    assert result.language == language
    assert DOUBTFUL < result.language_probability <= 1
    assert word_error_rate(SPOKEN[language], heard(result)) < 0.5
    assert result.warnings == ()


def test_a_language_that_is_asked_for_is_not_looked_for(transcriber: Transcriber) -> None:
    result = hear(transcriber, SAMPLE, language="en")
    assert (result.language, result.language_probability) == ("en", 1.0)
    assert word_error_rate(SAMPLE_TEXT, heard(result)) < 0.1


def test_what_is_said_can_be_translated_into_english(transcriber: Transcriber, tmp_path: Path) -> None:
    result = hear(transcriber, spoken(tmp_path, "de"), task="translate")
    assert result.language == "de"
    words = set(plain(heard(result)).split())
    assert {"good", "morning", "today"} <= words
