"""Real files, links and pipes, and writers in processes of their own."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from panotti_daemon.intake import writers
from panotti_daemon.intake.headers import NO_PROMISE
from panotti_daemon.intake.observe import as_stored, hash_file, is_gone, look, oddity, prove
from panotti_daemon.intake.settle import Look, Proof

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="leases and /proc are Linux's")
unix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes with a name in a folder")

Opener = Callable[[Path, str], AbstractContextManager[None]]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "call.bin"
    path.write_bytes(b"hello")
    return path


@contextmanager
def held_by_a_child(path: Path, mode: str) -> Iterator[None]:
    code = f"import sys; f = open(sys.argv[1], {mode!r}); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        yield
        child.communicate()


@contextmanager
def held_here(path: Path, mode: str) -> Iterator[None]:
    with path.open(mode):
        yield


def test_a_look_says_what_stat_says(recording: Path) -> None:
    status = recording.stat()
    assert look(recording) == Look(5, status.st_mtime_ns, status.st_ino)
    assert oddity(recording) is None


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems know no such times")
@pytest.mark.parametrize("year", [1901, 2400])
def test_a_file_from_any_year_can_be_kept_in_the_ledger(recording: Path, tmp_path: Path, year: int) -> None:
    seconds = (year - 1970) * 31_556_952
    os.utime(recording, ns=(0, seconds * 10**9))
    seen = look(recording)
    assert seen
    with sqlite3.connect(":memory:") as database:
        assert database.execute("SELECT ?", (seen.mtime_ns,)).fetchone() == (seen.mtime_ns,)


@pytest.mark.parametrize("number", [1, 2**63, 2**64 - 1, 2**127])
def test_any_number_of_a_file_can_be_kept_in_the_ledger(number: int) -> None:
    """Those of network drives, ReFS and mergerfs take 64 bits and more."""
    assert 0 <= as_stored(number) < 2**63


def test_nothing_there_is_no_oddity(tmp_path: Path) -> None:
    assert look(tmp_path / "nothing.wav") is None
    assert oddity(tmp_path / "nothing.wav") is None


def test_a_link_is_followed_to_a_regular_file(recording: Path) -> None:
    link = recording.with_name("link.wav")
    link.symlink_to(recording)
    assert look(link) == look(recording)
    assert oddity(link) is None


@pytest.mark.parametrize("target", ["nowhere.wav", "link.wav"])
def test_a_link_that_leads_nowhere_is_told_as_such(target: str, tmp_path: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / target)
    assert look(link) is None
    assert oddity(link) == "it is a link that leads nowhere"


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    assert look(tmp_path) is None
    assert oddity(tmp_path) == "it is a folder"


@unix_only
def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "call.wav"
    os.mkfifo(pipe)
    assert look(pipe) is None
    assert oddity(pipe) == "it is not a file but a pipe, a socket or a device"
    assert prove(pipe).look is None


def test_a_path_through_a_file_cannot_be_reached(recording: Path) -> None:
    assert look(recording / "call.wav") is None
    assert (oddity(recording / "call.wav") or "").startswith("it cannot be reached: ")


def test_a_file_at_rest_is_proved(recording: Path) -> None:
    held = None if sys.platform == "darwin" else False
    assert prove(recording) == Proof(look(recording), held, NO_PROMISE)


def test_a_file_that_is_gone_is_proved_to_be(tmp_path: Path) -> None:
    proof = prove(tmp_path / "nothing.wav")
    assert proof.look is None
    assert proof.unreadable == "No such file or directory"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is closed to root")
def test_a_file_without_permission_is_unreadable(recording: Path) -> None:
    recording.chmod(0)
    assert prove(recording) == Proof(look(recording), held_open=None, promise=None, unreadable="Permission denied")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS cannot tell")
@pytest.mark.parametrize("hold", [held_by_a_child, held_here])
@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_a_writer_is_seen_as_long_as_it_holds_the_file(hold: Opener, mode: str, recording: Path) -> None:
    with hold(recording, mode):
        assert prove(recording) == Proof(look(recording), held_open=True, promise=None)
    assert prove(recording).held_open is False


@pytest.mark.parametrize("hold", [held_by_a_child, held_here])
def test_a_reader_does_not_matter(hold: Opener, recording: Path) -> None:
    with hold(recording, "rb"):
        assert not prove(recording).held_open


@linux_only
def test_a_writer_behind_a_link_is_seen(recording: Path) -> None:
    link = recording.with_name("link.wav")
    link.symlink_to(recording)
    with held_by_a_child(recording, "ab"):
        assert prove(link).held_open is True


if sys.platform == "linux":
    import fcntl

    @pytest.fixture
    def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(descriptor: int, command: int, argument: int = 0) -> int:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(fcntl, "fcntl", refuse)

    @pytest.mark.usefixtures("no_leases")
    @pytest.mark.parametrize("hold", [held_by_a_child, held_here])
    def test_without_leases_a_writer_is_found_in_proc(hold: Opener, recording: Path) -> None:
        with hold(recording, "ab"):
            assert writers.held_open(recording) is True
        with hold(recording, "rb"):
            assert writers.held_open(recording) is None

    def test_a_network_share_that_grants_no_lease_proves_nothing(
        recording: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(descriptor: int, command: int, argument: int = 0) -> int:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(fcntl, "fcntl", refuse)
        assert writers.held_open(recording) is True
        monkeypatch.setattr(writers, "_is_remote", lambda device: True)
        assert writers.held_open(recording) is None

    def test_the_file_system_of_a_temporary_file_is_not_remote(recording: Path) -> None:
        assert not writers._is_remote(recording.stat().st_dev)

    def test_the_lease_of_another_program_counts_as_holding(recording: Path) -> None:
        descriptor = os.open(recording, os.O_RDWR)
        ignored = signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            assert writers.held_open(recording) is True
        finally:
            os.close(descriptor)
            signal.signal(signal.SIGIO, ignored)

    def test_writers_that_open_while_we_look_neither_kill_us_nor_fail(recording: Path) -> None:
        """A child looks without pause, with SIGIO as deadly as it is by default, while we open and close."""
        code = (
            "import sys, pathlib\n"
            "from panotti_daemon.intake.writers import held_open\n"
            "path, seen = pathlib.Path(sys.argv[1]), set()\n"
            "print('looking', flush=True)\n"
            "while path.exists(): seen.add(held_open(path))\n"
            "print(*seen)\n"
        )
        command = [sys.executable, "-c", code, str(recording)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            for _ in range(5_000):
                with recording.open("ab") as writer:
                    writer.write(b".")
            recording.unlink()
            assert b"True" in child.stdout.read()
        assert child.returncode == 0


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="a link to itself is what nobody may look behind")
def test_only_what_is_known_to_be_gone_is_gone(recording: Path) -> None:
    (recording.parent / "loop").symlink_to("loop")
    for path, gone in {"call.bin": False, "other.bin": True, "call.bin/x.wav": True, "loop/x.wav": False}.items():
        assert is_gone(recording.parent / path) is gone, path


def test_a_hash_is_blake2b_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    content = os.urandom(3_000_001)
    path.write_bytes(content)
    assert hash_file(path) == hashlib.blake2b(content, digest_size=20).hexdigest()
    assert len(hash_file(path)) == 40
