"""A zip file for a report: findings, settings and log, with nothing in it that is nobody else's business.

Only what is known to be harmless goes in: Panotti's own words, numbers, and the places in its code. Paths become marks,
the same path the same mark, so that a story can still be followed; they mean nothing to whoever has not the path.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from panotti_daemon.doctor.finding import Finding
from panotti_daemon.errors import PanottiError
from panotti_daemon.paths import Paths

LEFT_OUT = "[left out]"
NONE = "There is no bundle"

HARMLESS_FINDINGS = frozenset({"version", "clock", "port", "hardware", "engine", "tray", "notifications"})
"""The others tell of the user's folders and recordings."""
HARMLESS_LOG_KEYS = frozenset({"about", "attempt", "becomes", "level", "logger", "plugin", "state", "timestamp"})
"""`event`, too, where Panotti's own code says it: other libraries put what they are at into it."""
HARMLESS_SETTINGS = re.compile(
    r"auto|never|beside|wait|local|flac|opus|debug|info|warning|error|txt|srt|vtt|json|md|[a-z]{2}|[\d:.-]+"
)

OWN_WORDS = frozenset({"speakers", "split", "tracks", "vocabulary"})
"""Settings whose keys or values are the user's own words."""

_PATH = re.compile(r"(?<![\w/:])([/~]|[A-Za-z]:\\)[^\s/]")
"""Where an absolute one begins."""
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_KIND = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Failed|Interrupt|Unavailable))(?::|$)", re.MULTILINE)
_CODE = ("panotti_daemon", "site-packages")


def pack(target: Path, findings: Iterable[Finding], paths: Paths) -> None:
    """Raises PanottiError where the file cannot be written, or is there already."""
    redactor = Redactor(secrets.token_bytes(16))
    try:
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("findings.json", json.dumps([redactor.finding(finding) for finding in findings], indent=2))
            bundle.writestr("settings.yaml", yaml.safe_dump(redactor.settings(_settings(paths.config_file))))
            for log in sorted(paths.log_file.parent.glob(f"{paths.log_file.name}*")):
                with log.open(encoding="utf-8", errors="replace") as lines:
                    bundle.writestr(f"{log.name}.jsonl", "".join(f"{redactor.log_line(line)}\n" for line in lines))
    except FileExistsError:
        raise PanottiError(f"{target} is there already: name another file.", title=NONE) from None
    except OSError as error:
        with suppress(OSError):
            target.unlink()
        raise PanottiError(f"{target} cannot be written: {error.strerror}.", title=NONE) from error


class Redactor:
    def __init__(self, key: bytes) -> None:
        """With another key, a path has another mark."""
        self._key = key

    def finding(self, finding: Finding) -> dict[str, Any]:
        if finding.name in HARMLESS_FINDINGS:
            return {key: LEFT_OUT if _PATH.search(str(value)) else value for key, value in asdict(finding).items()}
        return {"name": finding.name, "ok": finding.ok, "message": LEFT_OUT}

    def settings(self, value: Any) -> Any:
        """Keys stay, and what says nothing of anybody."""
        match value:
            case dict():
                return {
                    self._key_of_settings(str(key)): LEFT_OUT if key in OWN_WORDS else self.settings(part)
                    for key, part in value.items()
                }
            case list():
                return [self.settings(part) for part in value]
            case bool() | int() | float() | None:
                return value
            case str() if "/" in value or "\\" in value:
                return self._mark(value)
            case str() if HARMLESS_SETTINGS.fullmatch(value):
                return value
        return LEFT_OUT

    def log_line(self, line: str) -> str:
        try:
            entry = json.loads(line)
        except ValueError:
            return LEFT_OUT
        kept = {key: value for key, value in entry.items() if key in HARMLESS_LOG_KEYS}
        is_ours = str(entry.get("logger", "")).startswith("panotti_daemon")
        kept["event"] = entry.get("event") if is_ours else LEFT_OUT
        if path := entry.get("path"):
            kept["path"] = self._mark(str(path))
        if exception := entry.get("exception"):
            kept["exception"] = list(_places(str(exception)))
        return json.dumps(kept)

    def _key_of_settings(self, key: str) -> str:
        """Some sections have paths for keys."""
        return self._mark(key) if "/" in key or "\\" in key else key

    def _mark(self, path: str) -> str:
        digest = hashlib.blake2b(path.encode(errors="surrogateescape"), key=self._key, digest_size=3).hexdigest()
        return f"<path {digest}>"


def _settings(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _places(exception: str) -> Iterator[str]:
    """Where in the code it was raised, and the kinds of errors; not what they say."""
    for file, line, function in _FRAME.findall(exception):
        parts = Path(file).parts
        start = max((parts.index(root) for root in _CODE if root in parts), default=len(parts) - 1)
        yield f"{'/'.join(parts[start:])}:{line} {function}"
    yield from _KIND.findall(exception)
