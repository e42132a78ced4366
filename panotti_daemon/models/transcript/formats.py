"""How a transcript looks as a file: txt, srt, vtt, json and md. Nothing here touches a disk.

Rendering is deterministic, since outputs are recognised by the hash of their bytes: everything that a file says comes
from the stored transcript, its time of creation included.

A recording without speech: srt knows no comments, so it is empty; vtt carries a comment. txt and md say `[no speech]`,
in the brackets that captions use for what nobody spoke: a file of no bytes looks like a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final, Literal

import pydantic_core
from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from panotti_daemon import __version__
from panotti_daemon.models.recording.models import Recording
from panotti_daemon.models.recording.names import shown
from panotti_daemon.models.transcript.breaks import SENTENCE_ENDS, columns
from panotti_daemon.models.transcript.captions import Caption, Utterance, captions
from panotti_daemon.models.transcript.models import (
    Coverage,
    Frozen,
    RequestedSettings,
    Segment,
    Transcript,
    Transcription,
    Word,
)
from panotti_daemon.models.transcript.typography import tidy
from panotti_daemon.settings import Format, WatchFolder

SCHEMA: Final = "panotti.transcript"
SCHEMA_VERSION: Final = 1
NO_SPEECH = "[no speech]"

PARAGRAPH_PAUSE = 2.0
"""Seconds of silence that end a paragraph."""
UNBROKEN_PAUSE = 0.5
"""Seconds of silence with which a sentence is still spoken on while another track speaks, too."""
PARAGRAPH_LENGTH = 700
"""Characters after which a paragraph ends with its sentence."""
UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that write no spaces between words, as in Whisper's own tokenizer."""


@dataclass(frozen=True)
class Rendering:
    """What a folder's settings say of the looks of its transcripts; what is stored is the same whatever they say."""

    clean_text: bool = False
    speakers: Mapping[str, str] = field(default_factory=dict)
    """Names, by the label of the track."""

    @classmethod
    def of(cls, folder: WatchFolder) -> Rendering:
        return cls(folder.clean_text, folder.speakers)


class Source(Frozen):
    """One file of the recording."""

    name: str = Field(description="Its name, without the folders, which are nobody else's business.")
    label: str | None = Field(description="The track that it holds, such as `microphone`; null for the only one.")
    size: int = Field(description="Bytes.")


class DocumentSegment(Frozen):
    """A stretch of speech."""

    id: int = Field(description="Counts from 0.")
    start: float = Field(description="Seconds from the recording's beginning.")
    end: float = Field(description="Seconds from the recording's beginning.")
    text: str
    track: str | None = Field(description="Where it was spoken, a key of `speaker_labels`; null for the only track.")
    avg_logprob: float = Field(description="Mean log probability of the words: how sure the model was.")
    no_speech_prob: float = Field(description="Probability that this is no speech at all.")
    compression_ratio: float = Field(description="How well the text compresses; repetitions are above 2.4.")
    bleed: bool = Field(
        False, description="True: the other side of a call, heard in this track. Other formats leave it out."
    )
    words: tuple[Word, ...] = Field(
        (), description="Each word with its times, where they were asked for.", exclude_if=lambda words: not words
    )


class Document(Frozen):
    """A transcript that speaks for itself: the schema of the json format, and what the others are made from."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True)

    # The first keys, so that a file's first bytes tell whether it is one of ours.
    schema_: Literal["panotti.transcript"] = Field(SCHEMA, alias="schema", description="Marks the files of Panotti.")
    schema_version: Literal[1] = Field(SCHEMA_VERSION, description="Grows when a key changes its meaning or goes.")
    content_id: str = Field(description="Hash of the recording's content: equal for a copy under any name.")
    recording_id: str = Field(description="The recording's id in the database of the Panotti that wrote this.")
    title: str
    sources: tuple[Source, ...] = Field(description="The files of the recording.")
    settings: RequestedSettings
    model: str = Field(description="The model that was used.")
    language: str = Field(description="Code of the language that was spoken.")
    language_probability: float = Field(description="How sure the model was of it, from 0 to 1; 0: it did not say.")
    duration: float = Field(description="Seconds of the longest track.")
    speech_seconds: float = Field(description="Seconds of speech, those of all tracks together.")
    coverage: Coverage = Field(Coverage(), description="How much of that became text, and how well that went.")
    incomplete: bool = Field(description="True: the file held less than its header promised.")
    created_at: AwareDatetime = Field(description="When it was transcribed, in UTC, to the second.")
    versions: dict[str, str] = Field(description="Of Panotti and of the libraries that made it, by name.")
    warnings: tuple[str, ...] = Field(description="What was odd about the recording, a sentence each.")
    speaker_labels: dict[str, str] = Field(description="How to show each track: `{microphone: Anna}`.")
    clean_text: bool = Field(False, description="Whether the other formats are tidied; here the text never is.")
    segments: tuple[DocumentSegment, ...] = Field(description="In the order of their start; none: no speech.")

    @classmethod
    def of(cls, transcript: Transcript, recording: Recording, rendering: Rendering | None = None) -> Document:
        """The document of a finished transcript; a ValueError for one that is still pending."""
        result = transcript.result
        if result is None:
            raise ValueError(f"The transcript {transcript.id} is not finished")
        rendering = rendering or Rendering()
        return cls(
            content_id=transcript.content_id,
            recording_id=transcript.recording_id,
            title=recording.title,
            sources=tuple(
                Source(name=printable(track.path.name), label=track.label, size=track.size)
                for track in recording.tracks
            ),
            settings=transcript.settings,
            model=result.model,
            language=result.language,
            language_probability=result.language_probability,
            duration=result.duration,
            speech_seconds=result.speech_seconds,
            coverage=result.coverage,
            incomplete=result.incomplete,
            created_at=transcript.created_at.astimezone(UTC).replace(microsecond=0),
            versions={"panotti": __version__, **result.versions},
            warnings=result.warnings,
            speaker_labels=speaker_labels(result, recording, rendering.speakers),
            clean_text=rendering.clean_text,
            segments=tuple(
                DocumentSegment(id=number, **segment.model_dump()) for number, segment in enumerate(result.segments)
            ),
        )

    def transcription(self) -> Transcription:
        """The engine's answer that this document was made from, for a database that has lost it."""
        return Transcription(
            segments=tuple(Segment(**segment.model_dump(exclude={"id"})) for segment in self.segments),
            language=self.language,
            language_probability=self.language_probability,
            model=self.model,
            duration=self.duration,
            speech_seconds=self.speech_seconds,
            coverage=self.coverage,
            incomplete=self.incomplete,
            warnings=self.warnings,
            versions=self.versions,
        )

    def speaker(self, track: str | None) -> str:
        """Who is shown as speaking: empty unless the recording has several tracks."""
        return self.speaker_labels.get(track or "", "") if len(self.speaker_labels) > 1 else ""

    @property
    def text_language(self) -> str:
        """That of the text, which a translation has in English."""
        return "en" if self.settings.task == "translate" else self.language

    @property
    def joint(self) -> str:
        """What stands between two segments."""
        return "" if self.text_language in UNSPACED_LANGUAGES else " "

    def spoken(self) -> Iterator[tuple[DocumentSegment, str]]:
        """The segments that say something to a reader, each with its text on one line."""
        for segment in self.segments:
            text = _one_line(segment.text)
            if text and not segment.bleed:
                yield segment, tidy(text, self.text_language) if self.clean_text else text


def speaker_labels(result: Transcription, recording: Recording, names: Mapping[str, str]) -> dict[str, str]:
    """How to show each track, also those that are channels or streams of one file."""
    labels = [track.label for track in recording.tracks] + [segment.track for segment in result.segments]
    return {label: names.get(label) or shown(label) for label in labels if label}


def parse_document(text: str) -> Document:
    """The document in a json file; a ValueError in words for what is none, or was written by a newer Panotti."""
    try:
        data = pydantic_core.from_json(text)
    except ValueError as error:
        raise ValueError(f"This is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError("This is not a transcript by Panotti")
    version = data.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ValueError(
            f"This transcript was written by a newer Panotti (schema version {version}; this one reads up to "
            f"{SCHEMA_VERSION}): update Panotti to read it"
        )
    try:
        return Document.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"This transcript is damaged: {place}: {first['msg']}") from error


def render(format: Format, document: Document) -> str:
    """The whole text of a file in that format, lines ending in `\\n`."""
    match format:
        case Format.TXT:
            return _txt(document)
        case Format.SRT:
            return _srt(document)
        case Format.VTT:
            return _vtt(document)
        case Format.JSON:
            return document.model_dump_json(by_alias=True, indent=2) + "\n"
        case Format.MD:
            return _markdown(document)


def printable(name: str) -> str:
    """A file name as text: what is no Unicode in it, which Python holds as lone surrogates, becomes U+FFFD."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", name)


def _one_line(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ufeff]", " ", text).split())


# Paragraphs: txt and md


@dataclass
class _Paragraph:
    start: float
    end: float
    track: str | None
    texts: list[str] = field(default_factory=list)

    def goes_on_with(self, segment: DocumentSegment, *, interrupted: bool) -> bool:
        """Whether it does; `interrupted`: another track has spoken since."""
        pause = segment.start - self.end
        if self.texts[-1].endswith(SENTENCE_ENDS):
            return not interrupted and pause <= PARAGRAPH_PAUSE and sum(map(len, self.texts)) < PARAGRAPH_LENGTH
        return pause <= (UNBROKEN_PAUSE if interrupted else PARAGRAPH_PAUSE)

    def add(self, segment: DocumentSegment, text: str) -> None:
        self.end = max(self.end, segment.end)
        self.texts.append(text)


def _paragraphs(document: Document) -> list[_Paragraph]:
    paragraphs: list[_Paragraph] = []
    latest: dict[str | None, _Paragraph] = {}
    for segment, text in document.spoken():
        own = latest.get(segment.track)
        if own is None or not own.goes_on_with(segment, interrupted=own is not paragraphs[-1]):
            own = latest[segment.track] = _Paragraph(segment.start, segment.end, segment.track)
            paragraphs.append(own)
        own.add(segment, text)
    return paragraphs


def _txt(document: Document) -> str:
    paragraphs = []
    for paragraph in _paragraphs(document):
        speaker = document.speaker(paragraph.track)
        text = document.joint.join(paragraph.texts)
        paragraphs.append(f"{speaker}: {text}" if speaker else text)
    return "\n\n".join(paragraphs or [NO_SPEECH]) + "\n"


def _markdown(document: Document) -> str:
    was_told = document.settings.language == "auto" and document.language_probability > 0
    sure = f" ({document.language_probability:.0%} sure)" if was_told else ""
    translated = ", translated into English" if document.settings.task == "translate" else ""
    files = [f"{file.name} ({shown(file.label)})" if file.label else file.name for file in document.sources]
    facts = {
        "Recording": ", ".join(files),
        "Length": _clock(_milliseconds(document.duration)),
        "Language": document.language + sure + translated,
        "Model": document.model,
        "Transcribed": f"{document.created_at:%Y-%m-%d %H:%M} UTC",
    }
    if document.incomplete:
        facts["Incomplete"] = "the file held less than its header promised"
    if bleed := sum(segment.bleed for segment in document.segments):
        facts["Left out"] = f"{bleed} passage{'s' if bleed > 1 else ''} in which a track hears another"
    lines = [f"- **{name}:** {_escape_markdown(_one_line(fact))}" for name, fact in facts.items()]
    lines += [f"- **Note:** {_escape_markdown(_one_line(warning))}" for warning in document.warnings]
    blocks = [f"# {_escape_markdown(_one_line(document.title))}".rstrip(), "\n".join(lines)]
    for paragraph in _paragraphs(document):
        speaker = document.speaker(paragraph.track)
        mark = _clock(_milliseconds(paragraph.start)) + (f" {_escape_markdown(speaker)}:" if speaker else "")
        blocks.append(f"**{mark}** {_escape_markdown(document.joint.join(paragraph.texts))}")
    if len(blocks) == 2:
        blocks.append(_escape_markdown(NO_SPEECH))
    return "\n\n".join(blocks) + "\n"


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>&|~])", r"\\\1", text)


# Captions: srt and vtt


def _cues(document: Document) -> list[tuple[str, Caption]]:
    """The captions of all tracks in the order of their beginnings, each with its speaker."""
    tracks: dict[str | None, list[Utterance]] = {}
    for segment, text in document.spoken():
        utterance = Utterance(segment.start, segment.end, text, segment.words)
        tracks.setdefault(segment.track, []).append(utterance)
    cues = []
    for track, said in tracks.items():
        speaker = _one_line(document.speaker(track))
        cues += [
            (speaker, caption)
            for caption in captions(
                sorted(said, key=lambda utterance: utterance.start),
                language=document.text_language,
                duration=document.duration,
                joint=document.joint,
                indent=columns(f"{speaker}: ") if speaker else 0,
            )
        ]
    return sorted(cues, key=lambda cue: (cue[1].start, cue[1].end))


def _srt(document: Document) -> str:
    blocks = []
    for number, (speaker, caption) in enumerate(_cues(document), 1):
        times = f"{_clock(caption.start, ',')} --> {_clock(caption.end, ',')}"
        text = "\n".join(caption.lines).replace("-->", "→")
        blocks.append(f"{number}\n{times}\n" + (f"{speaker}: {text}\n" if speaker else f"{text}\n"))
    return "\n".join(blocks)


def _vtt(document: Document) -> str:
    blocks = ["WEBVTT\n"]
    for speaker, caption in _cues(document):
        times = f"{_clock(caption.start, '.')} --> {_clock(caption.end, '.')}"
        voice = f"<v {_escape_vtt(speaker)}>" if speaker else ""
        text = _escape_vtt("\n".join(caption.lines))
        blocks.append(f"{times}\n{voice}{text}\n")
    if len(blocks) == 1:
        blocks.append("NOTE no speech\n")
    return "\n".join(blocks)


def _escape_vtt(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(milliseconds: int, point: str = "") -> str:
    """`01:02:03`, with `point` and the milliseconds behind it if there is a point."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}" + (f"{point}{thousandths:03}" if point else "")
