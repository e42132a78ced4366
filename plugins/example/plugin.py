"""Keeps a diary of your recordings: a Markdown file beside their transcripts, with a line for each."""

from pathlib import Path

from panotti_daemon.core.plugins import BaseModel, Event, PluginBase, TranscriptionCompleted, local


class Plugin(PluginBase):
    class Config(BaseModel):
        diary: Path
        """A name beside the transcripts, or the whole path of one file for all."""

    config: Config

    async def handle(self, event: Event) -> list[Event]:
        done = event.read(TranscriptionCompleted)
        if done.transcription.status != "completed" or not done.transcription.output_file:
            return []
        transcript = Path(done.transcription.output_file)
        diary = transcript.parent / self.config.diary.expanduser()
        minutes, seconds = divmod(round(done.metadata.duration), 60)
        line = (
            f"- {local(done.transcription.timestamp):%Y-%m-%d %H:%M} [{done.recording.title}](<{transcript}>): "
            f"{minutes}:{seconds:02d}, {done.metadata.words} words\n"
        )
        # an event may come again after a crash: what is noted already is not noted twice
        if not diary.exists() or line not in diary.read_text(encoding="utf-8"):
            with diary.open("a", encoding="utf-8") as file:
                file.write(line)
        return [self.create_child_event(event, "example.noted", {"diary": str(diary), "line": line})]
