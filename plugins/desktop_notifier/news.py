"""What there is to tell: pure, from events to words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from panotti_daemon.core.plugins import (
    Attention,
    BaseModel,
    ConfigDict,
    Event,
    PluginError,
    PluginRests,
    RecordingForgotten,
    TranscriptionCompleted,
    local,
)

EXCERPT_LETTERS = 160
NAMES_SHOWN = 3


class Kind(StrEnum):
    DONE = "done"
    FAILED = "failed"
    ATTENTION = "attention"
    WELCOME = "welcome"


class Deed(StrEnum):
    """What a click or a button does."""

    OPEN = "open"
    SHOW = "show"
    RETRY = "retry"


LABELS = {Deed.OPEN: "Open", Deed.SHOW: "Show in folder", Deed.RETRY: "Retry"}


class News(BaseModel):
    """Something to tell, of one subject or, folded, of several."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    subject: str
    """What it is about: what is told of it later takes its place."""
    name: str
    """Of what it is about, in a list."""
    title: str
    message: str
    urgency: Literal["low", "normal", "critical"] = "normal"
    recordings: tuple[str, ...] = ()
    path: Path | None = None
    click: Deed | None = None
    buttons: tuple[Deed, ...] = ()
    event_id: str | None = None
    correlation_id: str | None = None


WELCOME = News(
    kind=Kind.WELCOME,
    subject="welcome",
    name="Panotti",
    title="Panotti is listening",
    message="Drop a recording into your recordings folder. A notification like this one says when its transcript is "
    "there; a click on it opens the transcript.",
    urgency="low",
)


def subject_of(event: Event) -> str:
    """What is told of an event takes the place of what was told of the same subject before."""
    match event.name:
        case "daemon.attention":
            return _short(event.read(Attention).about)
        case "daemon.plugin_rests":
            return _short(f"plugin:{event.read(PluginRests).plugin}")
        case "recording.forgotten":
            return event.read(RecordingForgotten).recording_id
        case "transcription_local.completed":
            return event.read(TranscriptionCompleted).recording.id
        case _:
            return event.read(PluginError).recording_id or event.correlation_id


def news_of(event: Event, *, show_text: bool = True) -> News | None:
    """None for what is no news, such as the end of a problem."""
    news = _news_of(event, show_text=show_text)
    return news and news.model_copy(update={"event_id": event.id, "correlation_id": event.correlation_id})


def folded(news: Sequence[News]) -> News:
    """One for all of them, what is wrong first."""
    if len(news) == 1:
        return news[0]
    of_kind = {kind: [n for n in news if n.kind is kind] for kind in (Kind.ATTENTION, Kind.FAILED, Kind.DONE)}
    attention, failed, done = of_kind.values()
    titles = [
        _count(attention, "problem", ""),
        _count(done, "transcript", " ready"),
        _count(failed, "recording", " failed"),
    ]
    in_order = [*attention, *failed, *done]
    lines = [n.name if n.kind is Kind.DONE else f"{n.name}: {n.message}" for n in in_order[:NAMES_SHOWN]]
    if len(news) > NAMES_SHOWN:
        lines.append(f"and {len(news) - NAMES_SHOWN} more")
    path = next((n.path for n in in_order if n.path), None)
    buttons = (*([Deed.RETRY] if failed else []), *([Deed.SHOW] if path else []))
    return News(
        kind=in_order[0].kind,
        subject=f"many-{in_order[0].subject}",
        name="",
        title=", ".join(filter(None, titles)),
        message="\n".join(lines),
        urgency="critical" if attention else "normal",
        recordings=tuple(recording for n in (failed or done) for recording in n.recordings),
        path=path,
        click=Deed.SHOW if path else None,
        buttons=buttons,
        event_id=in_order[0].event_id,
        correlation_id=in_order[0].correlation_id,
    )


def _news_of(event: Event, *, show_text: bool) -> News | None:
    subject = subject_of(event)
    match event.name:
        case "daemon.attention":
            problem = event.read(Attention)
            return None if problem.over else _problem(subject, problem.title, problem.message)
        case "daemon.plugin_rests":
            rest = event.read(PluginRests)
            until = f"It is tried again at {local(rest.until):%H:%M}."
            return _problem(subject, f"The plugin {rest.plugin} rests", f"{rest.reason}\n{until}")
        case "recording.forgotten":
            return None
        case "transcription_local.completed":
            return _transcript(subject, event.read(TranscriptionCompleted), show_text=show_text)
        case _:
            return _failure(subject, event.read(PluginError))


def _problem(subject: str, title: str, message: str) -> News:
    return News(kind=Kind.ATTENTION, subject=subject, name=title, title=title, message=message, urgency="critical")


def _failure(subject: str, error: PluginError) -> News:
    path = Path(error.path) if error.path else None
    name = path.name if path else error.plugin
    return News(
        kind=Kind.FAILED,
        subject=subject,
        name=name,
        title=f"{name} failed",
        message=error.message,
        recordings=(error.recording_id,) if error.recording_id else (),
        path=path,
        click=Deed.SHOW if path else None,
        buttons=(Deed.RETRY, *([Deed.SHOW] if path else [])) if error.recording_id else (),
    )


def _transcript(subject: str, done: TranscriptionCompleted, *, show_text: bool) -> News:
    name = done.recording.title
    transcript = done.transcription.output_file
    news = News(
        kind=Kind.DONE,
        subject=subject,
        name=name,
        title=f"{name} is transcribed",
        message=_summary(done, show_text=show_text),
        recordings=(done.recording.id,),
        path=Path(transcript or done.recording.path),
        click=Deed.OPEN if transcript else Deed.SHOW,
        buttons=(Deed.OPEN, Deed.SHOW) if transcript else (Deed.SHOW,),
    )
    match done.transcription.status:
        case "no_speech":
            words = {"title": f"No speech in {name}", "message": "There was nothing to transcribe."}
        case "restored":
            words = {"title": f"The transcript of {name} is back", "message": _length(done.metadata.duration)}
        case "completed":
            return news
    return news.model_copy(update={**words, "urgency": "low"})


def _summary(done: TranscriptionCompleted, *, show_text: bool) -> str:
    summary = f"{_length(done.metadata.duration)}, {done.metadata.words} words"
    excerpt = done.metadata.excerpt if show_text else ""
    if len(excerpt) > EXCERPT_LETTERS:
        excerpt = excerpt[:EXCERPT_LETTERS].rsplit(" ", 1)[0] + " …"
    return f"{summary}\n“{excerpt}”" if excerpt else summary


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _short(about: str) -> str:
    """Windows knows a notification by 64 letters at most."""
    return blake2b(about.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _count(news: Sequence[News], noun: str, state: str) -> str:
    return f"{len(news)} {noun}{'s' * (len(news) > 1)}{state}" if news else ""
