"""What is said in a recording stays on the machine: the daemon and its libraries call nobody, and leave nothing."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panotti_daemon.models.recording.models import FileState
from tests.daemon import Panotti
from tests.speech import SAMPLE

LOCAL = re.compile(r"AF_UNIX|AF_NETLINK|AF_UNSPEC|127\.0\.0\.1|::1")


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
def test_the_main_job_connects_to_nobody_and_leaves_nothing_in_the_users_home(
    panotti: Callable[..., Panotti], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    user = tmp_path / "user"
    user.mkdir()
    traced = tmp_path / "python"
    # seccomp slows only these calls down; -D leaves the daemon its process id, for its signals
    options = f"-D --seccomp-bpf -f -qq -e trace=connect,sendto,sendmsg -o {calls}"
    traced.write_text(f'#!/bin/sh\nexec strace {options} {sys.executable} "$@"\n')
    traced.chmod(0o755)

    environment = {"HOME": str(user), "PANOTTI_ENGINE__IDLE_SECONDS": "1"}
    with panotti(python=str(traced), environment=environment) as daemon:
        dropped = daemon.recordings / "confidential.wav"
        shutil.copy(SAMPLE, dropped)
        daemon.wait_for(dropped, FileState.DONE)
        daemon.stop()

    reached = [line for line in calls.read_text().splitlines() if "sa_family" in line and not LOCAL.search(line)]
    assert reached == []
    assert list(user.rglob("*")) == []
