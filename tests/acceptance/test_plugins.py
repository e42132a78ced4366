"""Plugins of a user in the real daemon: steered, edited and crashed while events come."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti, wait_until
from tests.keyrings import FILE
from tests.speech import SAMPLE

ROOT = Path(__file__).parents[2]
TOKEN = "correct-horse-battery"

SOURCE = """
    from panotti_daemon.core.plugins import Event, PluginBase

    class Plugin(PluginBase):
        async def act(self, action, arguments):
            first, count = arguments["first"], arguments["count"]
            for number in range(first, first + count):
                await self.publish(Event.create("source.said", {"number": number}))
            return f"{count} said"
"""
SINK = """
    import asyncio
    from pathlib import Path
    from panotti_daemon.core.plugins import BaseModel, PluginBase

    class Plugin(PluginBase):
        class Config(BaseModel):
            file: str
            word: str = "WORD"
            nothing: int | None = None
            parts: dict[str, list[int]] = {}

        async def handle(self, event):
            await asyncio.sleep(0.005)
            while Path(self.config.file).with_name("hold").exists():
                await asyncio.sleep(0.01)
            with Path(self.config.file).open("a") as file:
                file.write(f"{event.data['number']} {self.config.word}\\n")
            await self.update_state("last", event.data["number"])

        async def act(self, action, arguments):
            return await self.get_state("last")
"""


def write(daemon: Panotti, name: str, code: str, **manifest: Any) -> Path:
    folder = daemon.paths.plugins / name
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"name": name, "version": "1.0.0", "api_version": 1, "description": "A test."}
    (folder / "plugin.yaml").write_text(yaml.safe_dump(keys | manifest))
    (folder / "plugin.py").write_text(dedent(code))
    return folder


def source_and_sink(daemon: Panotti) -> Path:
    """Returns the file that tells what came to the sink."""
    file = daemon.home / "heard.txt"
    write(daemon, "source", SOURCE, emits=["source.said"])
    write(daemon, "sink", SINK, subscribes=["source.said"], config={"file": str(file)})
    return file


def heard(file: Path) -> list[int]:
    return [int(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []


def all_heard(file: Path, numbers: range) -> None:
    wait_until(lambda: len(heard(file)) >= len(numbers), "every event came")
    assert Counter(heard(file)) == Counter(numbers)


def say(daemon: Panotti, first: int, count: int) -> None:
    daemon.post("/plugins/source/actions/say", {"first": first, "count": count})


def test_plugins_are_reloaded_and_switched_on_and_off_under_a_stream_of_events(panotti: Callable[..., Panotti]) -> None:
    daemon = panotti()
    file = source_and_sink(daemon)
    with daemon:
        say(daemon, 0, 40)
        write(daemon, "sink", SINK.replace("WORD", "new"), subscribes=["source.said"], config={"file": str(file)})
        reloaded = daemon.command("plugins", "reload", "sink")
        assert (reloaded.returncode, reloaded.stdout) == (0, "sink 1.0.0 runs.\n")
        say(daemon, 40, 40)
        write(daemon, "sink", "import sys\nthis is no python\n")
        refused = daemon.command("plugins", "reload", "sink")
        broken = f"{daemon.paths.plugins / 'sink' / 'plugin.py'}:2: SyntaxError: invalid syntax"
        assert (refused.returncode, refused.stderr) == (1, f"Panotti cannot do that: {broken}\n")
        assert daemon.status().problems == [f"The plugin sink goes on as it was: {broken}"]
        all_heard(file, range(80))
        (daemon.home / "hold").touch()
        say(daemon, 80, 40)
        switched_off = daemon.command("plugins", "disable", "sink")
        assert switched_off.stdout == "sink is switched off. 40 events will wait for it.\n"
        say(daemon, 1000, 5)
        (daemon.home / "hold").unlink()
        daemon.restart()
        assert daemon.get("/plugins/sink")["state"] == "disabled"
        source_and_sink(daemon)
        switched_on = daemon.command("plugins", "enable", "sink")
        assert switched_on.stdout == "sink 1.0.0 runs. 40 events waited for it.\n"
        all_heard(file, range(120))
        last = daemon.post("/plugins/sink/actions/last", {})["result"]
        daemon.kill()
        daemon.start()
        assert daemon.post("/plugins/sink/actions/last", {})["result"] == last
    assert Counter(heard(file)) == Counter(range(120))


def test_a_plugin_is_taken_over_when_its_files_change_and_a_broken_edit_is_named(
    panotti: Callable[..., Panotti],
) -> None:
    daemon = panotti({"plugins_hot_reload": True})
    file = source_and_sink(daemon)
    code = daemon.paths.plugins / "sink" / "plugin.py"
    with daemon:
        say(daemon, 0, 30)
        code.write_text(dedent(SINK).replace("WORD", "edited"))
        say(daemon, 30, 30)
        wait_until(lambda: any("reloaded" in (plugin.reason or "") for plugin in daemon.status().plugins), "reloaded")
        code.write_text(dedent(SINK) + "\nno_such_name\n")
        line = len(dedent(SINK).splitlines()) + 2
        where = f"{code}:{line}: NameError: name 'no_such_name' is not defined"
        problems = [f"The plugin sink goes on as it was: {where}"]
        wait_until(lambda: daemon.status().problems == problems, "the broken edit is named")
        say(daemon, 60, 30)
        all_heard(file, range(90))
        assert file.read_text().splitlines()[-1] == "89 edited"
        code.write_text(dedent(SINK).replace("WORD", "mended"))
        wait_until(lambda: not daemon.status().problems, "it is mended")


def test_what_a_command_sets_stands_beside_the_users_file_and_below_the_environment(
    panotti: Callable[..., Panotti],
) -> None:
    daemon = panotti(environment={"PANOTTI_PLUGINS__SOURCE__ENABLED": "true"})
    file = source_and_sink(daemon)
    daemon.paths.config.mkdir(parents=True, exist_ok=True)
    daemon.paths.config_file.write_text(f"plugins:\n  sink:  # mine\n    config: {{word: mine, file: {file}}}\n")
    with daemon:
        assert daemon.command("plugins", "set", "sink", "word=theirs").stdout == "sink is configured.\n"
        say(daemon, 0, 1)
        wait_until(lambda: file.exists() and file.read_text() == "0 theirs\n", "the new settings hold")
        shown = daemon.command("plugins", "show", "sink").stdout
        assert f"word = theirs  ({daemon.paths.plugin_settings / 'sink.yaml'})" in shown
        assert f"file = {file}  ({daemon.paths.config_file})" in shown
        assert daemon.command("plugins", "set", "sink", "parts={one: [1, 2], two: [3]}").returncode == 0
        shown = daemon.command("plugins", "show", "sink").stdout
        assert "\n  nothing = null  (plugin.py)\n" in shown
        assert "\n  parts = {one: [1, 2], two: [3]}  (" in shown
        assert daemon.command("plugins", "set", "sink", "word=25:00").returncode == 0
        assert "\n  word = '25:00'  (" in daemon.command("plugins", "show", "sink").stdout
        refused = daemon.command("plugins", "set", "sink", "nothing=.inf")
        assert "plugins.sink.config.nothing: must be a whole number (it is '.inf')" in refused.stderr
        refused = daemon.command("plugins", "set", "sink", "wort=x")
        assert "plugins.sink.config.wort: there is no such key; did you mean word?" in refused.stderr
        refused = daemon.command("plugins", "disable", "source")
        assert refused.returncode == 1
        assert "environment PANOTTI_PLUGINS__SOURCE__ENABLED says otherwise" in refused.stderr
        assert daemon.command("plugins", "set", "sink", "word", "parts", "--unset").returncode == 0
        assert daemon.get("/plugins/sink")["config_by_command"] == {}
        unknown = daemon.command("plugins", "show", "sinc")
        assert unknown.stderr.endswith("There is no plugin sinc; did you mean sink?\n")
        assert "# mine" in daemon.paths.config_file.read_text()


def test_a_secret_reaches_its_plugin_and_nobody_else(panotti: Callable[..., Panotti], tmp_path: Path) -> None:
    code = """
        from panotti_daemon.core.plugins import BaseModel, PluginBase, Secret

        class Plugin(PluginBase):
            class Config(BaseModel):
                token: Secret
                other: Secret | None = None

            async def initialize(self):
                self.context.log.info("I tell", token=str(self.config), word=self.config.token.get_secret_value())

            async def act(self, action, arguments):
                if action == "fail":
                    raise ValueError(self.config.token.get_secret_value())
                return [len(s.get_secret_value()) for s in (self.config.token, self.config.other)]
    """
    environment = {
        "PYTHON_KEYRING_BACKEND": "tests.keyrings.FileKeyring",
        "PYTHONPATH": str(ROOT),
        FILE: str(tmp_path / "keyring.json"),
        "PANOTTI_SECRET__LOCK__OTHER": "from-the-environment",
    }
    daemon = panotti({"log": {"level": "debug"}}, environment=environment)
    write(daemon, "lock", code)
    with daemon:
        assert "is a secret; `panotti plugins set lock token --secret`" in daemon.status().problems[0]
        kept = daemon.command("plugins", "set", "lock", "token", "--secret", typed=f"{TOKEN}\n")
        assert (kept.returncode, kept.stdout) == (0, "lock is configured.\n")
        in_a_file = daemon.command("plugins", "set", "lock", f"token={TOKEN}")
        assert "plugins.lock.config.token: is a secret" in in_a_file.stderr
        assert not list(daemon.paths.plugin_settings.glob("*"))
        assert daemon.post("/plugins/lock/actions/lengths", {})["result"] == [len(TOKEN), len("from-the-environment")]
        failed = daemon.request("POST", "/plugins/lock/actions/fail", json={}).text
        shown = daemon.command("plugins", "show", "lock", "--json").stdout + daemon.command("config", "show").stdout
        daemon.restart()
        assert daemon.status().problems == []
        removed = daemon.command("plugins", "set", "lock", "token", "--secret", "--unset")
        assert "plugins.lock.config.token: is missing" in removed.stderr
        told = daemon.log() + daemon.output.read_text(encoding="utf-8")
    assert "I tell" in told
    for secret in (TOKEN, "from-the-environment"):
        assert secret not in told + failed + shown + kept.stderr + in_a_file.stderr
    assert TOKEN not in (tmp_path / "keyring.json").read_text()


def test_a_pause_holds_over_a_reload_of_the_plugin_that_transcribes(panotti: Callable[..., Panotti]) -> None:
    with panotti() as daemon:
        daemon.post("/pause", {})
        daemon.post("/plugins/transcription_local/reload")
        daemon.post("/plugins/transcription_local/disable")
        daemon.post("/plugins/transcription_local/enable")
        first, second = daemon.recordings / "first.wav", daemon.recordings / "second.wav"
        shutil.copy(SAMPLE, first)
        daemon.wait_for(first, FileState.READY)
        second.write_bytes(SAMPLE.read_bytes()[:-2] + b"\1\1")
        daemon.wait_for(second, FileState.READY)
        assert daemon.explain(first).state is FileState.READY
        daemon.post("/resume")
        daemon.wait_for(first, FileState.DONE)
