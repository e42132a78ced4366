from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from panotti_daemon.core.plugins import PermanentError
from panotti_daemon.errors import ManifestError, PluginFailed
from panotti_daemon.testing import NOW, PluginHost, Services, event_for, host, transcription


def plugin(parent: Path, body: str, manifest: str = "") -> Path:
    folder = parent / "tried"
    folder.mkdir()
    keys = ["name: tried", "version: 1.0.0", "api_version: 1", "description: A test.", "subscribes: [other.said]"]
    (folder / "plugin.yaml").write_text("\n".join([*keys, "emits: [tried.done]", dedent(manifest)]))
    code = "from panotti_daemon.core.plugins import *\n\nclass Plugin(PluginBase):\n"
    (folder / "plugin.py").write_text(code + indent(dedent(body), "    "))
    return folder


def play(folder: Path, act: Callable[[PluginHost], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with host(folder, **options) as hosted:
            await act(hosted)

    asyncio.run(main())


def test_what_is_delivered_is_answered(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            return [self.create_child_event(event, "tried.done", {"was": event.data["word"]})]
    """

    async def act(hosted: PluginHost) -> None:
        said = event_for("other.said", {"word": "hello"})
        [answer] = await hosted.deliver(said)
        assert (answer.name, answer.data, answer.cause_id) == ("tried.done", {"was": "hello"}, said.id)
        assert hosted.events == [answer]
        assert [delivery.state.value for delivery in hosted.deliveries] == ["done"]

    play(plugin(tmp_path, body), act)


def test_what_a_handler_raises_is_raised_where_the_test_waits(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            raise PermanentError("never")
    """

    async def act(hosted: PluginHost) -> None:
        with pytest.raises(PermanentError, match="never"):
            await hosted.deliver(event_for("other.said"))
        assert [event.name for event in hosted.events] == ["tried.error"]

    play(plugin(tmp_path, body), act)


def test_a_mistake_in_a_handler_is_told_with_its_line(tmp_path: Path) -> None:
    folder = plugin(tmp_path, "async def handle(self, event): return event.nothing")

    async def act(hosted: PluginHost) -> None:
        with pytest.raises(AttributeError):
            await hosted.deliver(event_for("other.said"))
        [delivery] = hosted.deliveries
        assert str(delivery.error).endswith(f"has no attribute 'nothing', in {folder / 'plugin.py'}:4")

    play(folder, act)


def test_an_answer_that_the_daemon_would_refuse_is_refused(tmp_path: Path) -> None:
    async def act(hosted: PluginHost) -> None:
        with pytest.raises(PluginFailed, match="must return"):
            await hosted.deliver(event_for("other.said"))

    play(plugin(tmp_path, "async def handle(self, event): return 5"), act)


def test_an_event_that_the_manifest_does_not_name_is_refused_as_in_the_daemon(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            return [self.create_child_event(event, "other.done", {})]
    """

    async def act(hosted: PluginHost) -> None:
        with pytest.raises(PluginFailed, match=r"tried may not emit other\.done"):
            await hosted.deliver(event_for("other.said"))

    play(plugin(tmp_path, body), act)


def test_a_secret_is_the_tests_own(tmp_path: Path) -> None:
    body = """
        class Config(BaseModel):
            key: Secret
    """

    async def act(hosted: PluginHost) -> None:
        assert hosted.plugin.config.key.get_secret_value() == "sesame"

    play(plugin(tmp_path, body), act, secrets={"key": "sesame"})


def test_an_event_that_the_manifest_does_not_ask_for_is_not_delivered(tmp_path: Path) -> None:
    async def act(hosted: PluginHost) -> None:
        with pytest.raises(PluginFailed, match=r"tried does not subscribe to other\.sung"):
            await hosted.deliver(event_for("other.sung"))

    play(plugin(tmp_path, "async def handle(self, event): pass"), act)


def test_a_retry_comes_when_the_clock_says_so_and_not_before(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            tries = await self.get_state("tries", 0) + 1
            await self.update_state("tries", tries)
            if tries < 3:
                raise OSError("not yet")
    """

    async def act(hosted: PluginHost) -> None:
        with pytest.raises(OSError, match="not yet"):
            await hosted.deliver(event_for("other.said"))
        await hosted.pass_time(1)
        assert await hosted.state() == {"tries": 1}
        await hosted.pass_time(9)
        assert await hosted.state() == {"tries": 2}
        await hosted.pass_time(100)
        assert await hosted.state() == {"tries": 3}
        assert [str(error) for error in hosted.errors] == ["not yet", "not yet"]
        assert [delivery.state.value for delivery in hosted.deliveries] == ["done"]

    play(plugin(tmp_path, body, "retry_seconds: 5"), act)


def test_a_plugin_that_fails_too_often_rests_as_in_the_daemon(tmp_path: Path) -> None:
    folder = plugin(tmp_path, "async def handle(self, event): raise ValueError", "max_attempts: 1")

    async def act(hosted: PluginHost) -> None:
        await hosted.publish(*(event_for("other.said") for _ in range(10)))
        await hosted.idle()
        assert len(hosted.errors) == 5
        with pytest.raises(PluginFailed, match="tried rests"):
            await hosted.deliver(event_for("other.said"))
        await hosted.pass_time(3600)
        assert len(hosted.errors) == 6

    play(folder, act)


def test_what_a_plugin_does_by_itself_is_seen(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            self.is_alive(event)
            await self.announce("tried.started", {"at": self.context.clock.now().isoformat()})
            await self.publish(Event.create("tried.done", {}))
    """

    async def act(hosted: PluginHost) -> None:
        said = event_for("other.said")
        assert await hosted.deliver(said) == []
        assert [event.name for event in hosted.events] == ["tried.done"]
        [announcement] = hosted.announcements
        assert (announcement.name, announcement.data) == ("tried.started", {"at": NOW.isoformat()})
        assert hosted.heartbeats == [said.id]

    play(plugin(tmp_path, body), act)


def test_settings_of_the_test_stand_above_those_of_the_manifest(tmp_path: Path) -> None:
    body = """
        class Config(BaseModel):
            word: str
            times: int
    """
    folder = plugin(tmp_path, body, "config: {word: hello, times: 1}")

    async def act(hosted: PluginHost) -> None:
        assert hosted.plugin.config.model_dump() == {"word": "hello", "times": 2}

    play(folder, act, config={"times": 2})
    with pytest.raises(PluginFailed, match=r"times: must be a whole number \(it is 'often'\)"):
        play(folder, act, config={"times": "often"})


def test_a_wrong_manifest_is_refused(tmp_path: Path) -> None:
    async def act(hosted: PluginHost) -> None:
        pass

    with pytest.raises(ManifestError, match="subscribe: there is no such key"):
        play(plugin(tmp_path, "pass", "subscribe: [other.said]"), act)


def test_the_services_of_the_context_answer_as_told(tmp_path: Path) -> None:
    body = """
        async def handle(self, event):
            transcript = await self.context.transcripts.get("t1")
            return [self.create_child_event(event, "tried.done", {"text": transcript.result.segments[0].text})]
    """

    async def act(hosted: PluginHost) -> None:
        [answer] = await hosted.deliver(event_for("other.said"))
        assert answer.data == {"text": "Hello."}

    play(plugin(tmp_path, body), act, services=Services(stored=transcription("Hello.")))


def test_a_plugin_is_initialized_first_and_released_last_also_when_a_test_fails(tmp_path: Path) -> None:
    body = f"""
        async def initialize(self): self.log = open({str(tmp_path / "log")!r}, "w")
        async def handle(self, event): self.log.write("handled ")
        async def shutdown(self):
            self.log.write("released")
            self.log.close()
    """

    async def act(hosted: PluginHost) -> None:
        await hosted.deliver(event_for("other.said"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(plugin(tmp_path, body), act)
    assert (tmp_path / "log").read_text() == "handled released"


def test_it_needs_no_pytest_but_for_its_fixtures() -> None:
    code = "import sys, panotti_daemon.testing; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_an_earlier_run_left_is_there_from_the_start(tmp_path: Path) -> None:
    body = """
        async def initialize(self):
            self.found = await self.get_state("seen")
    """

    async def act(hosted: PluginHost) -> None:
        assert hosted.plugin.found == 3  # type: ignore[attr-defined]

    play(plugin(tmp_path, body), act, state={"seen": 3})
