from __future__ import annotations

import json
import re
import runpy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Literal

import jsonschema
import pytest
import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from panotti_daemon.models.recording.models import Recording, Track
from panotti_daemon.models.transcript.formats import NO_SPEECH, Document, Rendering, parse_document, render
from panotti_daemon.models.transcript.models import (
    RequestedSettings,
    Segment,
    Transcript,
    Transcription,
    TranscriptStatus,
    Word,
)
from panotti_daemon.settings import Format

REPOSITORY = Path(__file__).parents[4]
CREATED = datetime(2025, 1, 21, 10, 30, 15, 123456, tzinfo=timezone(timedelta(hours=1)))


def segment(
    start: float,
    end: float,
    text: str,
    track: str | None = None,
    *,
    bleed: bool = False,
    words: Sequence[Word] = (),
) -> Segment:
    return Segment(
        start=start,
        end=end,
        text=text,
        track=track,
        avg_logprob=-0.25,
        no_speech_prob=0.01,
        compression_ratio=1.3,
        bleed=bleed,
        words=tuple(words),
    )


def word(start: float, end: float, text: str) -> Word:
    return Word(start=start, end=end, text=text, probability=0.9)


def recording(*labels: str | None) -> Recording:
    return Recording(
        id="recording",
        content_id="content",
        title="A call",
        tracks=tuple(
            Track(
                path=Path(f"/home/anna/secret/call_{label}.wav"), label=label, content_hash="hash", size=44, mtime_ns=1
            )
            for label in labels
        ),
        folder=Path("/home/anna/secret"),
        created_at=CREATED,
    )


def transcript(
    *segments: Segment, language: str = "en", task: Literal["transcribe", "translate"] = "transcribe"
) -> Transcript:
    return Transcript(
        id="transcript",
        recording_id="recording",
        content_id="content",
        title="A call",
        settings=RequestedSettings(task=task),
        status=TranscriptStatus.DONE if segments else TranscriptStatus.NO_SPEECH,
        created_at=CREATED,
        result=Transcription(
            segments=segments,
            language=language,
            language_probability=0.98,
            model="tiny.en",
            duration=3725.5,
            speech_seconds=12.0,
            versions={"faster-whisper": "1.2.1"},
        ),
    )


def document(
    *segments: Segment,
    labels: tuple[str | None, ...] = (None,),
    language: str = "en",
    clean_text: bool = False,
    speakers: Mapping[str, str] | None = None,
) -> Document:
    rendering = Rendering(clean_text, speakers or {})
    return Document.of(transcript(*segments, language=language), recording(*labels), rendering)


def cues(text: str) -> list[srt.Subtitle]:
    return list(srt.parse(text, ignore_errors=False))


times = st.floats(min_value=-1, max_value=500_000)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.sampled_from(
    [
        "00:00:01,000 --> 00:00:02,000",
        "1\n\n2",
        "a --> b",
        "<v Bob>",
        "&amp;",
        "WEBVTT\n\nNOTE x",
        "42 " * 60,
        "-->" * 50,
    ]
)
segments = st.builds(
    segment,
    times,
    times,
    texts,
    st.sampled_from([None, "microphone", "sys<tem>\n&"]),
    bleed=st.booleans(),
    words=st.lists(st.builds(word, times, times, texts), max_size=3),
)
documents = st.builds(
    lambda segments, labels, clean: document(
        *segments, labels=labels, clean_text=clean, speakers={"microphone": "Ann"}
    ),
    st.lists(segments, max_size=6),
    st.sampled_from([(None,), ("microphone", "sys<tem>\n&")]),
    st.booleans(),
)


@settings(deadline=None)
@given(documents)
def test_srt_of_any_text_and_times_is_valid(document: Document) -> None:
    text = render(Format.SRT, document)

    subtitles = cues(text)
    assert [subtitle.index for subtitle in subtitles] == list(range(1, len(subtitles) + 1))
    assert len(subtitles) == text.count(" --> ")
    assert all(subtitle.end > subtitle.start for subtitle in subtitles)
    assert all(line.strip() for subtitle in subtitles for line in subtitle.content.split("\n"))
    assert [subtitle.start for subtitle in subtitles] == sorted(subtitle.start for subtitle in subtitles)


@settings(deadline=None)
@given(documents)
def test_vtt_of_any_text_and_times_is_valid(document: Document) -> None:
    text = render(Format.VTT, document)

    captions = webvtt.WebVTT.from_buffer(StringIO(text), strict=True).captions
    assert len(captions) == text.count(" --> ") == len(cues(render(Format.SRT, document)))
    assert all(caption.end_time > caption.start_time for caption in captions)
    assert all(re.fullmatch(r"(<v [^<>]+>)?[^<>]+", caption.raw_text) for caption in captions)


@settings(deadline=None)
@given(documents)
def test_json_reads_back_as_it_was_and_renders_to_the_same_bytes(document: Document) -> None:
    text = render(Format.JSON, document)

    assert parse_document(text) == document
    assert render(Format.JSON, parse_document(text)) == text


@settings(deadline=None)
@given(documents)
def test_every_format_ends_its_last_line_and_has_no_other_line_ends(document: Document) -> None:
    for format in Format:
        text = render(format, document)
        assert text.endswith("\n") or (format is Format.SRT and not text)
        if format is not Format.JSON:
            assert len(text.splitlines()) == text.count("\n")


@settings(deadline=None)
@given(st.lists(segments, max_size=6))
def test_a_lost_transcription_comes_back_from_its_document(segments: list[Segment]) -> None:
    original = transcript(*segments)
    adopted = original.model_copy(update={"result": document(*segments).transcription()})

    assert adopted.result is not None
    assert adopted.result.segments == tuple(segments)
    assert Document.of(adopted, recording(None)) == document(*segments)


def test_the_document_names_files_without_their_folders() -> None:
    text = render(Format.JSON, document(segment(0, 1, "Hello.", "microphone"), labels=("microphone", "system")))

    assert "secret" not in text
    assert json.loads(text)["sources"][0] == {"name": "call_microphone.wav", "label": "microphone", "size": 44}


def test_the_document_tells_its_time_in_utc_to_the_second() -> None:
    assert json.loads(render(Format.JSON, document()))["created_at"] == "2025-01-21T09:30:15Z"
    assert document().created_at.tzinfo == UTC


def test_a_file_name_that_is_no_utf8_is_still_a_document() -> None:
    odd = recording(None)
    track = odd.tracks[0].model_copy(update={"path": Path("/home/caf\udce9.wav")})

    assert Document.of(transcript(), odd.model_copy(update={"tracks": (track,)})).sources[0].name == "caf\ufffd.wav"


def test_a_pending_transcript_has_no_document() -> None:
    pending = transcript().model_copy(update={"result": None})

    with pytest.raises(ValueError, match="not finished"):
        Document.of(pending, recording(None))


def test_versions_name_panotti_and_what_the_engine_stored_wins() -> None:
    assert set(document().versions) == {"panotti", "faster-whisper"}

    result = document().transcription().model_copy(update={"versions": {"panotti": "0.0.1"}})
    stored = transcript().model_copy(update={"result": result})
    assert Document.of(stored, recording(None)).versions == {"panotti": "0.0.1"}


def test_the_schema_marker_is_in_the_first_bytes() -> None:
    assert '"schema": "panotti.transcript"' in render(Format.JSON, document())[:40]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("Hello.", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a transcript by Panotti"),
        ('{"schema": "other"}', "not a transcript by Panotti"),
        ('{"schema": "panotti.transcript", "schema_version": 2}', "newer Panotti .schema version 2; .* up to 1"),
        ('{"schema": "panotti.transcript", "schema_version": 1}', "damaged: content_id: Field required"),
    ],
)
def test_what_is_no_document_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_document(text)


def test_a_key_that_a_later_version_adds_is_passed_over() -> None:
    data = json.loads(render(Format.JSON, document())) | {"mood": "good"}

    assert parse_document(json.dumps(data)) == document()


def test_txt_breaks_paragraphs_at_pauses() -> None:
    text = render(Format.TXT, document(segment(0, 1, " One."), segment(2.9, 4, "Two."), segment(6.1, 7, "Three.")))

    assert text == "One. Two.\n\nThree.\n"


def test_txt_breaks_a_long_paragraph_after_a_sentence() -> None:
    sentence = "word " * 50
    text = render(
        Format.TXT, document(*(segment(n, n + 1, sentence + ("end." if n % 2 else "and")) for n in range(10)))
    )

    assert [paragraph.count("end.") for paragraph in text.split("\n\n")] == [2, 2, 1]


def test_txt_names_the_speaker_when_there_are_several_tracks() -> None:
    spoken = (segment(0, 1, "Hello.", "microphone"), segment(0.5, 2, "Hi.", "system"))

    assert (
        render(Format.TXT, document(*spoken, labels=("microphone", "system"))) == "Microphone: Hello.\n\nSystem: Hi.\n"
    )


def test_txt_finishes_a_sentence_that_is_spoken_on_while_another_track_speaks() -> None:
    spoken = (
        segment(0, 4, "I wanted to say", "microphone"),
        segment(2, 3, "Hm.", "system"),
        segment(4.2, 6, "that it works.", "microphone"),
        segment(5.9, 7, "Does it?", "system"),
        segment(7.1, 8, "It does", "microphone"),
        segment(8.1, 9, "Good.", "system"),
        segment(9.1, 10, "indeed.", "microphone"),
    )

    assert render(Format.TXT, document(*spoken, labels=("microphone", "system"))).split("\n\n") == [
        "Microphone: I wanted to say that it works.",
        "System: Hm.",
        "System: Does it?",
        "Microphone: It does",
        "System: Good.",
        "Microphone: indeed.\n",
    ]


def test_one_track_needs_no_name() -> None:
    spoken = segment(0, 1, "Hello.", "microphone")

    assert render(Format.TXT, document(spoken, labels=("microphone",))) == "Hello.\n"
    assert "<v" not in render(Format.VTT, document(spoken, labels=("microphone",)))


def test_channels_of_one_file_are_speakers_too() -> None:
    spoken = (segment(0, 1, "Hello.", "left_channel"), segment(1, 2, "Hi.", "right_channel"))

    assert render(Format.TXT, document(*spoken)) == "Left channel: Hello.\n\nRight channel: Hi.\n"


def test_languages_without_spaces_get_none() -> None:
    spoken = (segment(0, 1, "今日は"), segment(1, 2, "いい天気です。"))

    assert render(Format.TXT, document(*spoken, language="ja")) == "今日はいい天気です。\n"


def test_no_speech_is_said_without_inventing_a_word() -> None:
    silent = document(segment(0, 1, " \n"))

    assert render(Format.TXT, silent) == f"{NO_SPEECH}\n"
    assert render(Format.SRT, silent) == ""
    assert webvtt.WebVTT.from_buffer(StringIO(render(Format.VTT, silent)), strict=True).captions == []
    assert render(Format.MD, silent).endswith("\n\n\\[no speech\\]\n")


def test_a_long_segment_becomes_captions_with_their_share_of_the_time() -> None:
    words = " ".join(["word"] * 64)
    first, *_, last = subtitles = cues(render(Format.SRT, document(segment(10, 42, words))))

    assert first.start == timedelta(seconds=10)
    assert last.end == timedelta(seconds=42)
    assert all(timedelta() < after.start - before.end < timedelta(seconds=0.1) for before, after in pairwise(subtitles))
    assert all(len(line) <= 42 for subtitle in subtitles for line in subtitle.content.split("\n"))
    assert all(subtitle.content.count("\n") <= 1 for subtitle in subtitles)
    assert " ".join(subtitle.content for subtitle in subtitles).replace("\n", " ") == words
    assert first.end - first.start <= timedelta(seconds=7)


def test_captions_may_come_after_a_hundred_hours() -> None:
    text = document(segment(360_000, 360_001.5, "Still here."))

    assert "100:00:00,000 --> 100:00:01,500" in render(Format.SRT, text)
    assert "100:00:00.000 --> 100:00:01.500" in render(Format.VTT, text)


def test_captions_name_the_speakers_of_tracks_that_overlap() -> None:
    spoken = (segment(0, 5, "A & B --> C", "microphone"), segment(1, 2, "<ok>", "system"))
    both = document(*spoken, labels=("microphone", "system"))

    assert [cue.content for cue in cues(render(Format.SRT, both))] == ["Microphone: A & B → C", "System: <ok>"]
    assert "<v Microphone>A &amp; B --&gt; C\n" in render(Format.VTT, both)
    assert "<v System>&lt;ok&gt;\n" in render(Format.VTT, both)


def test_captions_take_their_times_from_the_words() -> None:
    words = [word(1.0, 1.5, " Hello,"), word(1.5, 2.0, " Ben."), word(9.0, 9.5, " Hello?")]
    said = document(segment(0, 20, " Hello, Ben. Hello?", words=words))

    assert [(cue.start.total_seconds(), cue.content) for cue in cues(render(Format.SRT, said))] == [
        (1.0, "Hello, Ben."),
        (9.0, "Hello?"),
    ]


def test_words_stand_in_the_json_of_those_segments_that_have_them() -> None:
    said = document(segment(0, 1, " Hello.", words=[word(0.2, 0.9, " Hello.")]), segment(1, 2, "Hi."))

    first, second = json.loads(render(Format.JSON, said))["segments"]
    assert first["words"] == [{"start": 0.2, "end": 0.9, "text": " Hello.", "probability": 0.9}]
    assert "words" not in second


def test_speakers_are_called_by_the_names_that_the_settings_have() -> None:
    spoken = (segment(0, 1, "Hello.", "microphone"), segment(1, 2, "Hi.", "system"))
    named = document(*spoken, labels=("microphone", "system"), speakers={"microphone": "Anna"})

    assert render(Format.TXT, named) == "Anna: Hello.\n\nSystem: Hi.\n"
    assert [cue.content for cue in cues(render(Format.SRT, named))] == ["Anna: Hello.", "System: Hi."]
    assert "<v Anna>Hello." in render(Format.VTT, named)
    assert "**00:00:00 Anna:** Hello." in render(Format.MD, named)
    assert json.loads(render(Format.JSON, named))["speaker_labels"] == {"microphone": "Anna", "system": "System"}


def test_a_long_speech_names_its_speaker_within_the_line() -> None:
    speech = segment(0, 20, "the quick brown fox jumps over the lazy dog and " * 5, "microphone")
    both = document(speech, labels=("microphone", "system"), speakers={"microphone": "Anna-Maria"})

    subtitles = cues(render(Format.SRT, both))
    assert all(cue.content.startswith("Anna-Maria: ") for cue in subtitles)
    assert all(len(line) <= 42 for cue in subtitles for line in cue.content.split("\n"))


def test_what_one_track_hears_of_another_is_kept_and_not_read() -> None:
    spoken = (segment(0, 1, "How are you?", "system"), segment(0.1, 1, "how are", "microphone", bleed=True))
    call = document(*spoken, labels=("microphone", "system"))

    for format in (Format.TXT, Format.SRT, Format.VTT, Format.MD):
        assert "how are" not in render(format, call)
    assert "- **Left out:** 1 passage in which a track hears another" in render(Format.MD, call)
    assert [segment["bleed"] for segment in json.loads(render(Format.JSON, call))["segments"]] == [False, True]
    assert "Left out" not in render(Format.MD, document(spoken[0]))


def test_a_recording_of_nothing_but_bleed_has_no_speech() -> None:
    assert render(Format.TXT, document(segment(0, 1, "how are", bleed=True))) == f"{NO_SPEECH}\n"


def test_tidied_text_is_read_and_the_json_keeps_what_the_model_wrote() -> None:
    said = segment(0, 3, " Well... I thought , so .")
    tidied, plain = document(said, clean_text=True), document(said)

    assert render(Format.TXT, tidied) == "Well… I thought, so.\n"
    assert cues(render(Format.SRT, tidied))[0].content == "Well… I thought, so."
    assert render(Format.TXT, plain) == "Well... I thought , so .\n"
    assert tidied.transcription() == plain.transcription()
    assert (tidied.clean_text, plain.clean_text) == (True, False)


def test_a_translation_reads_as_english_and_names_what_was_spoken() -> None:
    spoken = (segment(0, 1, "The weather is"), segment(1, 2, "fine today."))
    translated = Document.of(transcript(*spoken, language="ja", task="translate"), recording(None))

    assert render(Format.TXT, translated) == "The weather is fine today.\n"
    assert cues(render(Format.SRT, translated))[0].content == "The weather is fine today."
    assert "- **Language:** ja (98% sure), translated into English" in render(Format.MD, translated)


def test_md_holds_the_facts_and_the_times() -> None:
    lines = render(Format.MD, document(segment(61, 62, "2 * 2 <b>", "microphone"), labels=("microphone",))).split("\n")

    assert lines[0] == "# A call"
    assert "- **Recording:** call\\_microphone.wav (Microphone)" in lines
    assert "- **Length:** 01:02:05" in lines
    assert "- **Language:** en (98% sure)" in lines
    assert "- **Transcribed:** 2025-01-21 09:30 UTC" in lines
    assert "**00:01:01** 2 \\* 2 \\<b\\>" in lines


def test_the_schema_in_the_docs_is_current_and_describes_what_is_written() -> None:
    script = runpy.run_path(str(REPOSITORY / "scripts" / "make_schema.py"))
    schema = json.loads(script["schema_text"]())

    assert script["SCHEMA_FILE"].read_text("utf-8") == script["schema_text"](), "run scripts/make_schema.py"
    jsonschema.Draft202012Validator.check_schema(schema)
    said = document(segment(0, 1, "Hello."), segment(1, 2, "Hi.", words=[word(1, 2, "Hi.")], bleed=True))
    jsonschema.validate(json.loads(render(Format.JSON, said)), schema)


def test_every_key_and_format_is_documented() -> None:
    page = (REPOSITORY / "docs" / "transcripts.md").read_text("utf-8")
    schema = Document.model_json_schema()
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part["properties"]}

    assert [key for key in (*keys, *Format) if f"`{key}`" not in page] == []
