"""Plugins that do what no plugin should, each one thing, and good ones to run beside them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import yaml

HEAD = """\
import asyncio, ctypes, os, sys, time
from itertools import count
from panotti_daemon.core.plugins import *

class Plugin(PluginBase):
"""

ASKS = """
async def act(self, action, arguments):
    for number in range(arguments["times"]):
        await self.publish(Event.create(f"asker.{action}", {"number": number}))
"""
"""Publishes whatever events a test wants."""

NOTES = """
async def handle(self, event):
    self.context.data.mkdir(parents=True, exist_ok=True)
    with open(self.context.data / "handled", "a") as file:
        file.write(f"{event.id}\\n")
"""
"""Keeps a list of what it has handled."""

BAD = {
    "raises": "async def handle(self, event): raise ValueError('no luck')",
    "exits": "async def handle(self, event): sys.exit(3)",
    "hangs": "async def handle(self, event): await asyncio.Event().wait()",
    "disobeys": """
        async def handle(self, event):
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
    """,
    "generates": """
        async def handle(self, event):
            for number in count():
                yield self.create_child_event(event, "generates.more", {})
    """,
    "endless": """
        async def handle(self, event):
            return (self.create_child_event(event, "endless.more", {"number": n}) for n in count())
    """,
    "floods": """
        async def handle(self, event):
            while True:
                await self.announce("floods.again", {})
    """,
    "huge": "async def handle(self, event): return [self.create_child_event(event, 'huge.done', {'x': 'x' * 10**6})]",
    "foreign": "async def handle(self, event): return [self.create_child_event(event, 'recording.ready', {})]",
    "shouts": "async def handle(self, event): return [self.create_child_event(event, 'other.shouted', {})]",
    "wrong_answer": "async def handle(self, event): return 42",
    "no_start": "async def initialize(self): raise ValueError('no start')",
    "slow_thread": "async def handle(self, event): await self.run_blocking(time.sleep, 3600)",
    "fills_the_pool": """
        async def handle(self, event):
            await asyncio.gather(*(asyncio.to_thread(time.sleep, 3600) for _ in range(9)))
    """,
    "no_health": "async def health(self): raise ValueError('no health')",
    "no_end": "async def shutdown(self): await asyncio.sleep(3600)",
}
"""What goes wrong while the daemon goes on."""

DEADLY = {
    "blocks": "async def handle(self, event): time.sleep(3600)",
    "leaves": "async def handle(self, event): os._exit(7)",
    "crashes": "async def handle(self, event): ctypes.string_at(0)",
}
"""What ends the process, or would keep it from everything."""


def install(home: Path, name: str, body: str, **manifest: Any) -> None:
    """Puts a plugin into the user's folder."""
    folder = home / "data" / "plugins" / name
    folder.mkdir(parents=True)
    keys = {"name": name, "version": "1.0.0", "api_version": 1, "description": "A test."}
    (folder / "plugin.yaml").write_text(yaml.safe_dump(keys | manifest))
    (folder / "plugin.py").write_text(HEAD + indent(dedent(body), "    "))


def handled(home: Path, name: str) -> list[str]:
    """The ids of the events that a good plugin has handled, in their order."""
    file = home / "data" / "plugin-data" / name / "handled"
    return file.read_text().split() if file.exists() else []
