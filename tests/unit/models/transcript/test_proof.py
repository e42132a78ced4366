from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from panotti_daemon.choices import Format
from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript.formats import Document, render
from panotti_daemon.models.transcript.models import (
    Coverage,
    RequestedSettings,
    Segment,
    Transcript,
    Transcription,
    TranscriptStatus,
)
from panotti_daemon.models.transcript.outputs import digest
from panotti_daemon.models.transcript.proof import Written, doubt

AT = datetime(2026, 3, 1, tzinfo=UTC)
RECORDING = Recording(
    id="r1",
    content_id="c1",
    title="call",
    tracks=(Track(path=Path("/in/call.wav"), content_hash="h", size=1, mtime_ns=1),),
    folder=Path("/in"),
    created_at=AT,
)


def transcript(*texts: str, speech_seconds: float | None = None, content_id: str = "c1") -> Transcript:
    segments = tuple(
        Segment(start=i, end=i + 1, text=text, avg_logprob=-0.1, no_speech_prob=0.1, compression_ratio=1)
        for i, text in enumerate(texts)
    )
    result = Transcription(
        segments=segments,
        language="en",
        language_probability=1.0,
        model="tiny.en",
        duration=60.0,
        speech_seconds=len(texts) if speech_seconds is None else speech_seconds,
    )
    return Transcript(
        id="t1",
        recording_id="r1",
        content_id=content_id,
        title="call",
        settings=RequestedSettings(),
        status=TranscriptStatus.DONE if texts else TranscriptStatus.NO_SPEECH,
        created_at=AT,
        result=result,
    )


def written(folder: Path, made: Transcript, *formats: Format) -> list[Written]:
    outputs = []
    for format in formats:
        content = render(format, Document.of(made, RECORDING)).encode()
        path = folder / f"call.{format}"
        path.write_bytes(content)
        outputs.append(Written(path, format, digest(content)))
    return outputs


def test_files_that_are_as_they_were_written_leave_no_doubt(tmp_path: Path) -> None:
    made = transcript("Hello.", "Bye.")
    assert doubt(made, written(tmp_path, made, *Format)) is None


def test_a_recording_without_speech_needs_its_files_and_no_text(tmp_path: Path) -> None:
    made = transcript()
    assert doubt(made, written(tmp_path, made, *Format)) is None


def test_without_a_json_one_whole_file_is_enough_beside_edited_ones(tmp_path: Path) -> None:
    made = transcript("Hello.")
    outputs = written(tmp_path, made, Format.TXT, Format.SRT)
    outputs[0].path.write_text("My own words.")
    assert doubt(made, outputs) is None
    outputs[1].path.write_text("And here, too.")
    assert doubt(made, outputs) == "its transcripts were all edited or damaged"


def test_a_link_to_the_transcript_is_not_the_transcript(tmp_path: Path) -> None:
    made = transcript("Hello.")
    outputs = written(tmp_path, made, Format.TXT)
    outputs[0].path.rename(tmp_path / "elsewhere.txt")
    outputs[0].path.symlink_to(tmp_path / "elsewhere.txt")
    assert doubt(made, outputs) == f"its transcript {outputs[0].path} is not there"


def test_of_a_file_that_was_written_in_two_places_one_is_enough(tmp_path: Path) -> None:
    made = transcript("Hello.")
    (output,) = written(tmp_path, made, Format.TXT)
    assert doubt(made, [Written(tmp_path / "old" / "call.txt", Format.TXT, output.digest), output]) is None


def test_a_json_of_another_recording_proves_nothing(tmp_path: Path) -> None:
    other = transcript("Hello.", content_id="c2")
    outputs = written(tmp_path, other, Format.JSON)
    assert doubt(transcript("Hello."), outputs) == f"its transcript {outputs[0].path} is of something else"


def test_half_of_the_speech_must_have_become_text(tmp_path: Path) -> None:
    for seconds, reason in ((4.0, None), (4.1, "little of the speech in it became text")):
        made = transcript("Hello.", "Bye.", speech_seconds=seconds)
        assert doubt(made, written(tmp_path, made, Format.TXT)) == reason


def test_what_the_engine_counted_as_text_counts(tmp_path: Path) -> None:
    made = transcript("Hello.", speech_seconds=10.0)
    assert made.result
    counted = made.result.model_copy(update={"coverage": Coverage(transcribed_seconds=8.0, windows=1)})
    made = made.model_copy(update={"result": counted})
    assert doubt(made, written(tmp_path, made, Format.TXT)) is None


def test_speech_without_any_text_is_no_proof(tmp_path: Path) -> None:
    made = transcript(speech_seconds=10.0)
    assert doubt(made, written(tmp_path, made, Format.TXT)) == "little of the speech in it became text"


def test_nothing_written_proves_nothing() -> None:
    assert doubt(transcript("Hello."), []) == "no transcript of it was written"
