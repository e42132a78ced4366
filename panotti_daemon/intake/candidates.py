"""Which names are no candidates, so that a download, a sync or a text file is never opened.

Programs that write elsewhere first rename to the real name when they are done, and then the file is seen anew.
"""

from __future__ import annotations

import re
from pathlib import Path


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


TEMPORARY_SUFFIXES = _suffixes("""
    !bt !qb !sync !ut aria2 bc! crdownload dctmp download downloading drivedownload driveupload filepart gstmp
    opdownload part partial swp swx temp tmp xltd ytdl
""")

_TEMPORARY_NAME = re.compile(
    r"""
      ~\$.*                       # Office: an open document's owner file
    | ~syncthing~.*               # Syncthing on Windows
    | .*~                         # editors' backups
    | .*\.~[0-9a-f]+              # Nextcloud and ownCloud
    | .*\.(?:part|temp)[-.][^.]+  # yt-dlp: name.mp4.part-Frag3, name.temp.m4a
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

SYSTEM_NAMES = frozenset({"desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"})

SYSTEM_FOLDERS = frozenset(
    {"#recycle", "$recycle.bin", "@eadir", "__macosx", "lost+found", "system volume information"}
)

# Playlists are here for a reason of their own: FFmpeg would follow the addresses in them.
OTHER_SUFFIXES = _suffixes("""
    asx cue ffconcat m3u m3u8 mpd pls sdp smil wpl xspf
    ass json jsonl lrc md rtf sbv srt ssa sub tsv ttml txt vtt
    bmp gif heic heif ico jpeg jpg png psd svg tif tiff webp
    csv doc docx epub htm html ics key log numbers odp ods odt pages pdf ppt pptx rst tex url xls xlsx
    7z apk bz2 deb dmg gz iso jar pkg rar rpm tar tgz torrent xz zip zst
    bat c cfg conf cpp css db dll exe go h ini java js lnk lock msi php plist ps1 py pyc rb rs sh so sql sqlite toml xml
    yaml yml
    asc md5 nfo sfv sha1 sha256 sig
""")

TEMPORARY = "a temporary name; it is looked at once it is renamed"


def why_not(path: Path) -> str | None:
    """Why a file of this name is no candidate as long as it has that name. None: it may be one."""
    name = path.name
    lower = name.lower()
    if lower.endswith(".icloud"):
        return "still in iCloud, not on this computer; it is looked at once it has been downloaded"
    if _suffix(name) in TEMPORARY_SUFFIXES or _TEMPORARY_NAME.fullmatch(name):
        return TEMPORARY
    if name.startswith("."):
        return "a hidden file; it is looked at once it is renamed"
    return "a file of the system, not a recording" if lower in SYSTEM_NAMES else None


def why_not_enter(folder: Path) -> str | None:
    """Why a folder of this name, inside a watched one, is not looked into. None: it is."""
    if _suffix(folder.name) in TEMPORARY_SUFFIXES:  # Safari downloads into a folder.
        return TEMPORARY
    if folder.name.startswith("."):
        return "a hidden folder"
    return "a folder of the system" if folder.name.lower() in SYSTEM_FOLDERS else None


def not_media_by_name(path: Path) -> str | None:
    """For what plainly is no recording. Names that we do not know are opened, for the engine to judge."""
    return "not a media file" if _suffix(path.name) in OTHER_SUFFIXES else None


def _suffix(name: str) -> str:
    """In lower case, with its dot. Other than `Path.suffix` it finds one in `.part` too."""
    _, dot, after = name.rpartition(".")
    return f".{after}".lower() if dot else ""
