from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panotti_daemon.engine.gate import Gate, JobEnded
from panotti_daemon.engine.media.audio import SAMPLE_RATE
from panotti_daemon.engine.messages import Pace, Progress, Remote, Track
from panotti_daemon.engine.remote.job import Servers, parts
from panotti_daemon.engine.speech.hearing import Timed
from panotti_daemon.engine.speech.windows import Stretch, Window
from panotti_daemon.errors import MediaError, ServerRefused, ServerUnavailable
from panotti_daemon.models.transcript.models import Checkpoint, RequestedSettings, Transcription
from panotti_daemon.settings.servers import RemoteSettings, Server
from tests.daemon import wait_until
from tests.speech import SAMPLE, ffmpeg, librivox_clip
from tests.transcription_server import TEXT, TranscriptionServer


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half minutes: some parts of half a minute."""
    clip = tmp_path_factory.mktemp("clip") / "long.wav"
    librivox_clip(clip, times=5)
    return clip


def servers(*running: TranscriptionServer, at_once: int = 1, **settings: Any) -> Servers:
    named = tuple(Server(url=server.url, at_once=at_once) for server in running)
    return Servers(Remote(settings=RemoteSettings(servers=named, part_minutes=0.5, **settings)))


def transcribe(
    by: Servers,
    *tracks: Path | Track,
    gate: Gate | None = None,
    done: tuple[Checkpoint, ...] = (),
    tell: Callable[[Progress], None] = lambda _: None,
    keep: Callable[[Checkpoint], None] = lambda _: None,
    **settings: Any,
) -> Transcription:
    named = [track if isinstance(track, Track) else Track(path=track) for track in tracks]
    return by.transcribe(named, RequestedSettings(**settings), done=done, gate=gate or Gate(), tell=tell, keep=keep)


def test_the_answer_is_put_on_the_recordings_clock_and_says_who_gave_it(tmp_path: Path) -> None:
    late = tmp_path / "late.wav"
    ffmpeg("-i", SAMPLE, "-af", "adelay=10s:all=1", late)
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(servers(server), late, words=True)
    (segment,) = found.segments
    assert segment.text == TEXT
    assert 10 <= segment.start < 11
    assert segment.end == segment.start + 2
    assert [word.text for word in segment.words] == [" Good", " morning."]
    assert segment.start <= segment.words[0].start < segment.words[1].end <= segment.end
    assert (found.language, found.model) == ("en", f"whisper-1 at {server.name}")
    assert found.warnings == (f"It was transcribed by whisper-1 at {server.name}, not on this machine",)
    assert 28 < found.duration < 29
    assert 15 < found.speech_seconds < 19
    assert (found.coverage.windows, found.coverage.transcribed_seconds) == (1, 2.0)


def test_a_long_recording_is_sent_in_parts_and_all_are_asked_for_the_language_of_the_first(
    tmp_path: Path, long_clip: Path
) -> None:
    told: list[Progress] = []
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(servers(server), long_clip, tell=told.append)
        forms = [request["form"] for request in server.requests]
    assert len(forms) == len(found.segments) == found.coverage.windows > 3
    assert [form.get("language") for form in forms] == [None] + [["en"]] * (len(forms) - 1)
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(set(starts))
    fractions = [progress.fraction or 0.0 for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.5


def test_a_server_that_never_says_the_language_is_still_given_several_parts(tmp_path: Path, long_clip: Path) -> None:
    with TranscriptionServer(tmp_path, "text") as server:
        found = transcribe(servers(server, at_once=4), long_clip, words=True)
    assert "The server gave no times of single words" in found.warnings
    assert (found.language, found.language_probability) == ("und", 0.0)
    assert [segment.text for segment in found.segments] == [TEXT] * found.coverage.windows


def test_parts_are_shared_among_the_servers(tmp_path: Path, long_clip: Path) -> None:
    with TranscriptionServer(tmp_path, "slow") as one, TranscriptionServer(tmp_path, "slow") as two:
        found = transcribe(servers(one, two), long_clip, language="en")
        shares = len(one.requests), len(two.requests)
    assert sum(shares) == found.coverage.windows
    assert min(shares) >= 2
    assert found.model == " and ".join(sorted(f"whisper-1 at {server.name}" for server in (one, two)))


def test_what_one_server_fails_at_another_does(tmp_path: Path, long_clip: Path) -> None:
    broken, stranger = TranscriptionServer(tmp_path, "broken"), TranscriptionServer(tmp_path, "stranger")
    with broken as one, stranger as two, TranscriptionServer(tmp_path) as three:
        found = transcribe(servers(one, two, three), long_clip)
        assert len(three.requests) == found.coverage.windows
        assert len(two.requests) == 1
    assert found.model == f"whisper-1 at {three.name}"


@pytest.mark.parametrize("way", ["broken", "cut", "rubbish", "busy"])
def test_what_a_server_fails_at_it_is_asked_again(way: str, tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, way, "fine") as server:
        found = transcribe(servers(server), SAMPLE)
        first, second = (request["time"] for request in server.requests)
    assert found.segments[0].text == TEXT
    assert second - first >= 1


def test_after_so_many_attempts_no_more_is_tried(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "broken") as server:
        with pytest.raises(ServerUnavailable, match="says 500"):
            transcribe(servers(server, attempts=2), SAMPLE)
        assert len(server.requests) == 2


def test_a_server_that_wants_to_be_left_alone_for_long_is_left_alone_by_the_next_recording_too(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "busy_for_hours") as server:
        by = servers(server)
        for _ in range(2):
            with pytest.raises(ServerUnavailable, match="come back later"):
                transcribe(by, SAMPLE)
        assert len(server.requests) == 1


def test_a_refusal_ends_it_at_once(tmp_path: Path) -> None:
    with TranscriptionServer(tmp_path, "refuse") as server:
        with pytest.raises(ServerRefused, match="no thanks"):
            transcribe(servers(server), SAMPLE)
        assert len(server.requests) == 1


def test_what_was_done_before_a_failure_is_kept_and_not_sent_again(tmp_path: Path, long_clip: Path) -> None:
    kept: list[Checkpoint] = []
    with TranscriptionServer(tmp_path, "fine", "fine", "refuse") as server, pytest.raises(ServerRefused):
        transcribe(servers(server), long_clip, keep=kept.append)
    assert [(len(checkpoint.windows), checkpoint.language) for checkpoint in kept] == [(1, "en")] * 2

    with TranscriptionServer(tmp_path, port=int(server.name.rpartition(":")[2])) as again:
        found = transcribe(servers(again), long_clip, done=tuple(kept))
        assert len(again.requests) == found.coverage.windows - 2
        assert {*(str(request["form"]["language"]) for request in again.requests)} == {"['en']"}
    with TranscriptionServer(tmp_path) as other:
        anew = transcribe(servers(other), long_clip, done=tuple(kept))
        assert len(other.requests) == anew.coverage.windows
    assert found.segments == anew.segments


def test_tracks_are_sent_apart_and_merged_with_their_labels(tmp_path: Path) -> None:
    call = tmp_path / "call.wav"
    voices = "[0:a]channelsplit=channel_layout=mono,asplit[a][b];[b]adelay=5s[c];[a][c]amerge=inputs=2"
    ffmpeg("-i", SAMPLE, "-filter_complex", voices, call)
    tracks = [Track(path=call, label="microphone", channel=0), Track(path=call, label="system", channel=1)]
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(servers(server), *tracks)
        assert len(server.requests) == 2
    assert [segment.track for segment in found.segments] == ["microphone", "system"]
    assert 4.5 < found.segments[1].start - found.segments[0].start < 5.5


def test_the_same_sound_on_two_tracks_is_sent_once(tmp_path: Path) -> None:
    tracks = [Track(path=SAMPLE, label="microphone"), Track(path=SAMPLE, label="system")]
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(servers(server), *tracks)
        assert len(server.requests) == 1
    assert "Microphone and System carry the same sound; it was transcribed once" in found.warnings


def test_what_the_microphone_heard_of_the_other_side_is_marked(tmp_path: Path) -> None:
    mine, system, microphone = (tmp_path / name for name in ("mine.wav", "system.wav", "microphone.wav"))
    librivox_clip(mine)
    ffmpeg("-i", SAMPLE, "-af", "adelay=28s:all=1", system)
    heard = "[1]volume=-20dB,aecho=0.8:0.7:60|90:0.6|0.5[heard];[0][heard]amix=duration=longest:normalize=0"
    ffmpeg("-i", mine, "-i", system, "-filter_complex", heard, "-ar", "16000", microphone)
    with TranscriptionServer(tmp_path, "whisper") as server:
        found = transcribe(
            servers(server), Track(path=microphone, label="microphone"), Track(path=system, label="system")
        )
    own = [segment.bleed for segment in found.segments if segment.end < 26]
    other = {(segment.track, segment.bleed) for segment in found.segments if segment.start > 30}
    assert own
    assert not any(own)
    assert other == {("microphone", True), ("system", False)}


def test_where_nobody_speaks_nothing_is_sent(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "20", silence)
    with TranscriptionServer(tmp_path) as server:
        found = transcribe(servers(server), silence, language="en")
        assert server.requests == []
    assert (found.segments, found.language, found.warnings) == ((), "und", ())


def test_a_file_without_sound_is_no_servers_business(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("nothing to hear")
    with TranscriptionServer(tmp_path) as server, pytest.raises(MediaError):
        transcribe(servers(server), text)


def test_nothing_is_sent_while_it_is_held_nor_after_its_end(tmp_path: Path) -> None:
    gate = Gate(Pace.HELD)
    ended: list[BaseException] = []
    told = threading.Event()

    def run(by: Servers) -> None:
        try:
            transcribe(by, SAMPLE, gate=gate, tell=lambda _: told.set())
        except JobEnded as error:
            ended.append(error)

    with TranscriptionServer(tmp_path) as server:
        job = threading.Thread(target=run, args=(servers(server),))
        job.start()
        assert told.wait(30)
        gate.end()
        wait_until(lambda: not job.is_alive(), "it ends")
        assert server.requests == []
    assert ended


def window(start: float, end: float, seconds: float) -> Timed:
    stretch = Stretch(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
    return Timed(Window((stretch,), np.zeros(len(stretch), dtype=np.float32)), seconds)


def test_parts_are_filled_with_windows_as_they_come() -> None:
    heard = [window(0, 20, 20), window(30, 40, 20), window(100, 130, 90), window(200, 220, 90)]
    found = list(parts(3, heard, 30 * SAMPLE_RATE))
    assert [(part.key[0], part.key[1] / SAMPLE_RATE, part.key[2] / SAMPLE_RATE) for part in found] == [
        (3, 0, 40),
        (3, 100, 130),
        (3, 200, 220),
    ]
    assert [part.seconds for part in found] == [40, 90, 90]
    assert [len(part.samples) / SAMPLE_RATE for part in found] == [30, 30, 20]
    assert found[0].on_clock(19, 20) == (19.0, 20.0)
    assert found[0].on_clock(20, 25) == (30.0, 35.0)


def test_a_window_that_is_longer_than_a_part_is_one() -> None:
    heard = [window(0, 20, 20), window(20, 50, 30)]
    assert [part.seconds for part in parts(0, heard, SAMPLE_RATE)] == [20, 30]
    assert list(parts(0, [], SAMPLE_RATE)) == []
