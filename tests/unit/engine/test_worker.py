from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from panotti_daemon.engine.messages import (
    Done,
    Message,
    PrepareRequest,
    Probed,
    ProbeKind,
    ProbeRequest,
    Progressed,
    Ready,
    Request,
    Track,
    TranscribeRequest,
    parse_message,
    to_line,
)
from panotti_daemon.models.transcript.models import RequestedSettings
from tests.daemon import PATIENCE
from tests.speech import SAMPLE, librivox_clip


class Child:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.stdin, self.stdout = process, process.stdin, process.stdout

    def send(self, request: Request) -> None:
        self.stdin.write(to_line(request))
        self.stdin.flush()

    def receive(self) -> Message:
        return parse_message(self.stdout.readline())


@contextmanager
def worker() -> Iterator[Child]:
    command = [sys.executable, "-m", "panotti_daemon.engine.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        child = Child(process)
        try:
            assert isinstance(child.receive(), Ready)
            yield child
        finally:
            process.kill()


def long_job(folder: Path) -> TranscribeRequest:
    clip = folder / "clip.wav"
    librivox_clip(clip, times=20)
    return TranscribeRequest(
        id=7, tracks=(Track(path=clip),), settings=RequestedSettings(model="tiny.en"), models=folder, workers=2
    )


def test_probing_answers_each_path_and_loads_no_speech_library(tmp_path: Path) -> None:
    paths = (SAMPLE, tmp_path / "gone.wav")
    with worker() as child:
        child.send(ProbeRequest(id=3, paths=paths))
        first, second, done = (child.receive() for _ in range(3))
        assert isinstance(first, Probed)
        assert isinstance(second, Probed)
        assert done == Done(id=3)
        assert (first.id, first.probe.path, first.probe.kind) == (3, SAMPLE, ProbeKind.MEDIA)
        assert (second.probe.path, second.probe.kind) == (paths[1], ProbeKind.VANISHED)
        if sys.platform == "linux":
            loaded = " ".join(mapped.path for mapped in psutil.Process(child.process.pid).memory_maps())
            assert "av.libs" in loaded
            assert not any(library in loaded for library in ("ctranslate2", "onnxruntime", "numpy"))


def test_it_goes_when_stdin_closes_in_the_middle_of_a_job(tmp_path: Path) -> None:
    with worker() as child:
        child.send(long_job(tmp_path))
        assert isinstance(child.receive(), Progressed)
        child.stdin.close()
        assert child.process.wait(PATIENCE) == 0
        assert not [line for line in child.stdout if isinstance(parse_message(line), Done)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process has one priority for all its threads")
def test_every_thread_of_a_job_has_a_low_priority(tmp_path: Path) -> None:
    with worker() as child:
        child.send(long_job(tmp_path))
        while not isinstance(said := child.receive(), Progressed) or not said.progress.fraction:
            pass
        threads = [thread.id for thread in psutil.Process(child.process.pid).threads()]
        assert len(threads) > 2
        assert all(os.getpriority(os.PRIO_PROCESS, thread) >= 10 for thread in threads)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has priority classes instead")
@pytest.mark.skipif(sys.platform == "darwin", reason="numpy has no OpenBLAS there")
def test_the_libraries_bring_no_thread_that_would_take_a_processor_from_the_decoding() -> None:
    with worker() as child:
        child.send(PrepareRequest(id=1))
        assert child.receive() == Done(id=1)
        assert psutil.Process(child.process.pid).num_threads() == 2


def test_it_has_a_low_priority_and_leaves_to_the_daemon_what_ctrl_c_and_the_end_of_a_terminal_mean() -> None:
    with worker() as child:
        assert psutil.Process(child.process.pid).nice() >= 10
        child.process.send_signal(signal.SIGINT)
        if sys.platform != "win32":
            child.process.send_signal(signal.SIGHUP)
        child.send(ProbeRequest(id=1, paths=(SAMPLE,)))
        assert isinstance(child.receive(), Probed)


def test_what_a_library_prints_does_not_end_up_among_the_messages() -> None:
    program = (
        "import os; from panotti_daemon.engine.worker import _private_stdout\n"
        "out = _private_stdout(); print('noise', flush=True); os.write(1, b'more noise'); out.write(b'message')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"message", b"noise\nmore noise")


def test_a_file_name_that_is_not_unicode_survives_the_pipe(tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9 100%25.wav"
    try:
        odd.write_bytes(SAMPLE.read_bytes())
    except OSError:
        pytest.skip("This file system takes Unicode names only")
    with worker() as child:
        child.send(ProbeRequest(id=1, paths=(odd,)))
        answer = child.receive()
    assert isinstance(answer, Probed)
    assert (answer.probe.path, answer.probe.kind) == (odd, ProbeKind.MEDIA)


def test_a_request_that_makes_no_sense_ends_it() -> None:
    with worker() as child:
        child.stdin.write(b"nonsense\n")
        child.stdin.flush()
        child.process.wait(PATIENCE)
