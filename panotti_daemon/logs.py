"""The log: JSON lines in a rotated file, readable lines on a terminal, one line for one thing.

Nothing that could give away a secret or a conversation is ever written: `redact` drops the values of such keys and
credentials within a text, whoever logs them, and nobody logs whole objects.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from panotti_daemon.settings import LogSettings

SECRET_KEYS = frozenset(
    {
        "token",
        "authorization",
        "auth",
        "headers",
        "header",
        "cookie",
        "password",
        "secret",
        "api_key",
        "key",
        "environ",
        "environment",
        "env",
        "text",
        "transcript",
        "segments",
        "body",
        "payload",
        "data",
    }
)


LEFT_OUT = "[left out]"

_concealed: set[str] = set()
SHORTEST_CONCEALED = 4
"""Shorter ones would tear holes into every line, and protect nothing."""

_CREDENTIALS = re.compile(r"\b(Bearer|Basic|Token)\s+[^\s\"',;]+", re.IGNORECASE)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = LEFT_OUT if key.lower() in SECRET_KEYS else _redacted(value)
    return event


def conceal(secret: str) -> None:
    """From now on this text is left out of the log and of messages, whoever says it, with or without the space around
    it."""
    if len(bare := secret.strip()) >= SHORTEST_CONCEALED:
        _concealed.add(bare)


def without_secrets(text: str) -> str:
    for secret in _concealed:
        text = text.replace(secret, LEFT_OUT)
    return text


def _redacted(value: object) -> object:
    match value:
        case str():
            return without_secrets(_CREDENTIALS.sub(rf"\1 {LEFT_OUT}", value))
        case Mapping():
            return {k: LEFT_OUT if str(k).lower() in SECRET_KEYS else _redacted(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(part) for part in value]
    return value


class _OwnerOnlyFileHandler(RotatingFileHandler):
    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=_owner_only)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def configure(settings: LogSettings, log_file: Path | None, *, terminal: bool = True) -> None:
    """Sends the log to the file (none: nowhere) and, if asked, to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        redact,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        to_file = _OwnerOnlyFileHandler(
            log_file,
            maxBytes=int(settings.max_megabytes * 1_000_000),
            backupCount=settings.keep_files,
            encoding="utf-8",
            errors="backslashreplace",  # a file's name need not be Unicode
        )
        to_file.setFormatter(_formatter(structlog.processors.JSONRenderer(ensure_ascii=False), shared))
        root.addHandler(to_file)
    if terminal:
        to_terminal = logging.StreamHandler(sys.stderr)
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        to_terminal.setFormatter(_formatter(renderer, shared))
        root.addHandler(to_terminal)
    if not root.handlers:
        root.addHandler(logging.NullHandler())  # or else logging itself prints warnings
    root.setLevel(settings.level.upper())
    for chatty in ("watchdog", "asyncio", "desktop_notifier", "httpx2", "httpcore2", "aiosqlite"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # it warns of what any web page may send, as often as it likes


def _formatter(renderer: Any, shared: list[Any]) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
