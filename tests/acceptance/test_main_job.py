"""The main job, as a user sees it: drop real speech, get the right words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import srt
import webvtt

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import librivox_sentences, word_error_rate

SCHEMA = Path(__file__).parents[2] / "docs" / "transcript.schema.json"


def test_real_speech_that_is_dropped_becomes_the_right_words_in_every_format(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    output = tmp_path / "out"
    watch = {"path": str(folder), "output": str(output), "formats": ["txt", "srt", "vtt", "json", "md"]}
    with panotti({"watch": [watch]}) as daemon:
        sentences = librivox_sentences()
        for path in sentences:
            shutil.copy(path, folder / path.name)
        for path in sentences:
            daemon.wait_for(folder / path.name, FileState.DONE)

    spoken = " ".join(sentences.values())
    heard = " ".join((output / f"{path.stem}.txt").read_text(encoding="utf-8") for path in sentences)
    assert word_error_rate(spoken, heard) <= 0.15
    for path in sentences:
        cues = list(srt.parse((output / f"{path.stem}.srt").read_text(encoding="utf-8"), ignore_errors=False))
        assert cues
        assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
        assert len(webvtt.read(str(output / f"{path.stem}.vtt")).captions) == len(cues)
        document = json.loads((output / f"{path.stem}.json").read_text(encoding="utf-8"))
        jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
        assert (output / f"{path.stem}.md").read_text(encoding="utf-8").startswith("#")
    completed = daemon.events("transcription_local.completed")
    assert len(completed) == len(sentences)
    assert [line for line in daemon.log_lines() if line["level"] in ("warning", "error")] == []


def test_a_dropped_file_gives_one_set_of_outputs_and_one_completed_event(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        target = daemon.recordings / "memo.wav"
        shutil.copy(next(iter(librivox_sentences())), target)
        daemon.wait_for(target, FileState.DONE)
        assert daemon.outputs() == {"memo.txt", "memo.srt", "memo.json"}
    assert len(daemon.events("transcription_local.completed")) == 1
