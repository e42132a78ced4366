from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux" and not TYPE_CHECKING:
    pytest.skip("D-Bus is for Linux", allow_module_level=True)

from panotti_daemon.desktop.dbus_icon import PatientSocket


def test_a_full_socket_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        patient = PatientSocket(ours)
        while patient.send(memoryview(bytes(65536))):
            pass
        assert theirs.recv(1024)
