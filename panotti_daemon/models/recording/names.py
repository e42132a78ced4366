"""What names say: whether a file is media, what it is called without its suffix, and how a track's label is shown."""

from __future__ import annotations

_NAMES = """
    3g2 3ga 3gp aa3 aac ac3 adts aif aifc aiff amr ape asf au avi awb caf divx ds2 dss dts eac3 f4a f4v flac flv gsm
    m2ts m4a m4b m4v mka mkv mov mp2 mp3 mp4 mpa mpc mpeg mpg mts mxf oga ogg ogm ogv opus qt ra rf64 rm rmvb snd spx
    tak ts tta vob voc w64 wav wave weba webm wma wmv wv
"""

MEDIA_SUFFIXES = frozenset(f".{name}" for name in _NAMES.split())
"""In lower case, with the dot."""


def stem(name: str) -> str:
    """A file name without its media suffix: `2025.01.21-call.M4A` is `2025.01.21-call`; `2025.01.21` stays whole."""
    before, _, after = name.rpartition(".")
    return before if before and f".{after.lower()}" in MEDIA_SUFFIXES else name


def shown(label: str) -> str:
    """A track's label as a person reads it: `system_audio` is `System audio`."""
    words = label.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
