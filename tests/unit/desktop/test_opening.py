from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType, RequestNameReply
from dbus_fast.aio import MessageBus

from panotti_daemon.desktop.opening import FILE_MANAGER, Opener
from panotti_daemon.desktop.session_bus import session_bus
from tests.daemon import wait_until
from tests.desktop.notification_server import Bus
from tests.opener import noting_opener

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="xdg-open and D-Bus are Linux's")

FILE = "a, b & é.txt"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the desktop's `xdg-open` was given is in this file."""
    programs, note = noting_opener(tmp_path)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / FILE).write_text("hello")
    return note


@pytest.fixture
def bus(tmp_path: Path, opened: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    if shutil.which("dbus-daemon") is None:
        pytest.skip("needs dbus-daemon")
    running = Bus(tmp_path)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", running.address)
    yield running
    running.stop()


def text_of(note: Path) -> str:
    wait_until(note.exists, "something was opened")
    return note.read_text()


def test_a_file_is_opened_in_the_users_own_program(opened: Path, tmp_path: Path) -> None:
    asyncio.run(Opener().open(tmp_path / FILE))
    assert text_of(opened) == str(tmp_path / FILE)


def test_without_a_session_bus_the_folder_of_a_file_is_opened(opened: Path, tmp_path: Path) -> None:
    asyncio.run(Opener().show_in_folder(tmp_path / FILE))
    assert text_of(opened) == str(tmp_path)


def test_without_a_file_manager_the_folder_of_a_file_is_opened(bus: Bus, opened: Path, tmp_path: Path) -> None:
    asyncio.run(Opener().show_in_folder(tmp_path / FILE))
    assert text_of(opened) == str(tmp_path)


def test_the_file_manager_is_asked_to_show_a_file(bus: Bus, opened: Path, tmp_path: Path) -> None:
    shown: list[str] = []

    def answer(message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.member != "ShowItems":
            return None
        shown.extend(message.body[0])
        return Message.new_method_return(message)

    async def main() -> None:
        manager = await MessageBus(bus.address).connect()
        manager.add_message_handler(answer)
        assert await manager.request_name(FILE_MANAGER) is RequestNameReply.PRIMARY_OWNER
        try:
            await Opener().show_in_folder(tmp_path / FILE)
        finally:
            manager.disconnect()
            await manager.wait_for_disconnect()  # type: ignore[no-untyped-call]

    asyncio.run(main())
    assert shown == [(tmp_path / FILE).as_uri()]
    assert not opened.exists()


@pytest.mark.parametrize("method", [Opener.open, Opener.show_in_folder])
def test_what_is_gone_cannot_be_opened(opened: Path, tmp_path: Path, method: object) -> None:
    assert callable(method)
    with pytest.raises(FileNotFoundError, match="No such file"):
        asyncio.run(method(Opener(), tmp_path / "gone"))


def test_the_session_bus_is_found_by_its_variable_or_by_its_socket(bus: Bus, tmp_path: Path) -> None:
    assert (
        session_bus({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/there", "XDG_RUNTIME_DIR": "/run"}) == "unix:path=/there"
    )
    assert session_bus({"XDG_RUNTIME_DIR": str(tmp_path)}) == bus.address
    assert session_bus({"XDG_RUNTIME_DIR": str(tmp_path / "bin")}) is None
    assert session_bus({}) is None
