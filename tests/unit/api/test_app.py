from __future__ import annotations

import socket
import subprocess
import sys

from panotti_daemon.api.app import bind
from panotti_daemon.settings import ApiSettings

WITHOUT_SOCKETS = """
import resource
from panotti_daemon.api.app import bind
from panotti_daemon.errors import PanottiError
from panotti_daemon.settings import ApiSettings

resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
try:
    bind(ApiSettings())
except PanottiError as error:
    print(error)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_of_two_daemons_that_start_at_once_one_has_the_port_that_both_want() -> None:
    settings = ApiSettings(port=free_port())
    (one, is_wished), (other, is_wished_too) = bind(settings), bind(settings)
    with one, other:
        assert (is_wished, is_wished_too) == (True, False)
        assert one.getsockname()[1] == settings.port != other.getsockname()[1]


def test_where_no_socket_can_be_made_the_address_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_SOCKETS], capture_output=True, text=True, check=False)
    assert "No port can be opened on 127.0.0.1" in done.stdout, done.stderr
