from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

if sys.platform != "linux" and not TYPE_CHECKING:
    pytest.skip("D-Bus is for Linux", allow_module_level=True)

from panotti_daemon.desktop.dbus_icon import PatientSocket, argb32


def test_a_full_socket_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        patient = PatientSocket(ours)
        while patient.send(memoryview(bytes(65536))):
            pass
        assert theirs.recv(1024)


def test_pixels_are_alpha_red_green_blue() -> None:
    assert argb32(Image.new("RGBA", (2, 1), (1, 2, 3, 4))) == bytes((4, 1, 2, 3)) * 2
