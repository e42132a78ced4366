"""How commands speak to the running daemon, and show what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import BaseModel

from panotti_daemon.client import Client
from panotti_daemon.paths import Paths

T = TypeVar("T")

JSON = typer.Option(False, "--json", help="Print JSON.")


def ask(question: Callable[[Client], Awaitable[T]]) -> T:
    """Raises NotRunning, RequestFailed."""

    async def asked() -> T:
        async with Client.from_paths(Paths.from_environment()) as client:
            return await question(client)

    return asyncio.run(asked())


def print_json(value: BaseModel | list[Any] | dict[str, Any]) -> None:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    typer.echo(json.dumps(plain, ensure_ascii=False, indent=2))


def absolute(path: Path) -> str:
    """As the ledger has it: absolute, links not resolved."""
    return str(path.expanduser().absolute())


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
