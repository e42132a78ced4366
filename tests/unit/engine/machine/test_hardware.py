from __future__ import annotations

import sys
from pathlib import Path

import pytest

from panotti_daemon.engine.machine import hardware
from panotti_daemon.engine.machine.cgroups import Limits, limits
from panotti_daemon.engine.machine.hardware import MOST_WORKERS, Machine, machine
from panotti_daemon.engine.models.catalog import KNOWN
from panotti_daemon.settings.resources import Resources, usable_processors

NO_GPU = "there is no NVIDIA driver"


def test_the_machine_is_what_this_process_may_use_of_it() -> None:
    here = machine()
    assert 1 <= here.cores <= len(usable_processors())
    assert here.memory_megabytes > 500
    assert f"{here.memory_megabytes / 1000:.0f} GB" in here.description


def test_the_settings_narrow_it() -> None:
    narrow = machine(Resources(device="cpu", memory_megabytes=500))
    assert (narrow.without_gpu, narrow.limit_megabytes) == ("engine.device is cpu", 500)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS knows no affinity")
def test_affinity_leaves_as_many_cores_as_it_names() -> None:
    assert machine(Resources(affinity=(usable_processors()[0],))).cores == 1


def test_workers_follow_the_cores_up_to_a_limit() -> None:
    assert [Machine(n, 64_000, NO_GPU).workers_for(KNOWN["tiny"]) for n in (1, 2, 6, 32)] == [1, 2, 6, MOST_WORKERS]
    assert Machine(6, 64_000, NO_GPU).workers_for(None) == 6
    assert Machine(6, 64_000, None).workers_for(KNOWN["tiny"]) == 1


def test_workers_are_as_many_as_there_is_memory_for() -> None:
    workers = [Machine(8, memory, NO_GPU).workers_for(KNOWN["medium"]) for memory in (2_000, 8_000, 16_000, 32_000)]
    assert workers == sorted(workers)
    assert (workers[0], workers[-1]) == (1, 8)


def test_a_gpu_that_fails_is_not_used_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_ruled_out", None)
    hardware.rule_out_gpu("it has no memory left")
    assert machine().without_gpu == "it has no memory left"


def cgroup(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def test_the_tightest_group_of_version_2_counts(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/user/panotti\n")
    cgroup(tmp_path, cpu__max="max 100000", memory__max="max")
    cgroup(tmp_path / "user", cpu__max="150000 100000", memory__max="4000000000")
    cgroup(tmp_path / "user" / "panotti", cpu__max="max 100000", memory__max="8000000000")
    assert limits(tmp_path, membership) == Limits(cores=1.5, memory=4_000_000_000)


def test_version_1_has_a_tree_for_each_controller_and_a_container_sees_its_own_as_the_root(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/docker/abc\n1:cpu:/docker/abc\n")
    cgroup(tmp_path / "memory", memory__limit_in_bytes="2000000000")
    cgroup(tmp_path / "cpu", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert limits(tmp_path, membership) == Limits(cores=2.0, memory=2_000_000_000)
    cgroup(tmp_path / "cpu", cpu__cfs_quota_us="-1")
    assert limits(tmp_path, membership).cores is None


def test_where_there_are_no_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert limits(tmp_path, tmp_path / "missing") == Limits()
