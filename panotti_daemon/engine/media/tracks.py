"""Which tracks of a recording are worth hearing: not those that its file lacks, and the same sound once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from panotti_daemon.engine.media import audio
from panotti_daemon.engine.media.same_sound import same_sound
from panotti_daemon.engine.messages import Track
from panotti_daemon.models.recording.names import shown


def worth_hearing(tracks: Sequence[Track], warn: Callable[[str], None]) -> Sequence[Track]:
    """The tracks, or the whole of a file that is not made as its folder's settings say; of two with the same sound,
    one. A track that is alone has no label.

    Raises MediaError, SourceUnavailable.
    """
    missing = [track for track in tracks if not _is_there(track)]
    if missing:
        warn(f"The file has no {_named(missing[0])} for the track {missing[0].label!r}: it was transcribed as a whole")
        return [Track(path=missing[0].path)]
    for one, other in combinations(tracks, 2):
        if same_sound(_blocks(one), _blocks(other)):
            warn(
                f"{shown(one.label or '')} and {shown(other.label or '')} carry the same sound; it was transcribed once"
            )
            kept = worth_hearing([track for track in tracks if track is not other], warn)
            return kept if len(kept) > 1 else [kept[0].model_copy(update={"label": None})]
    return tracks


def _is_there(track: Track) -> bool:
    """A file that cannot be looked into is left to the decoder, which says why."""
    if track.stream is None and track.channel is None:
        return True
    channels = audio.probe(track.path).channels
    stream = track.stream or 0
    return not channels or (stream < len(channels) and (track.channel or 0) < channels[stream])


def _named(track: Track) -> str:
    return f"stream {track.stream + 1}" if track.stream is not None else f"channel {(track.channel or 0) + 1}"


def _blocks(track: Track) -> Iterator[audio.Samples]:
    return audio.decode(track.path, lambda _: None, stream=track.stream, channel=track.channel)
