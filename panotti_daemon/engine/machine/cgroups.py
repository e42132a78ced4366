"""What a container or a service manager lets this process use of the machine: Linux's control groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Limits:
    cores: float | None = None
    """Of processor time; None: no limit."""
    memory: int | None = None
    """Bytes."""


def limits(root: Path = ROOT, membership: Path = MEMBERSHIP) -> Limits:
    """The tightest of all groups that hold this process. Inside a container its own group is the root."""
    cores: list[float] = []
    memory: list[int] = []
    for group in _groups(root, membership):
        match (_read(group / "cpu.max") or "").split():
            case [quota, period] if quota.isdigit():
                cores.append(int(quota) / int(period))
        quota, period = (_read(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():
            cores.append(int(quota) / int(period))
        written = (_read(group / name) for name in ("memory.max", "memory.limit_in_bytes"))
        memory.extend(int(limit) for limit in written if limit and limit.isdigit())
    return Limits(min(cores, default=None), min(memory, default=None))


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """Each line is `number:controllers:path`; version 2 has no controllers there, and version 1 a tree for each."""
    for line in (_read(membership) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        tree = root / controllers
        own = tree / path.lstrip("/")
        yield from (group for group in (own, *own.parents) if group.is_relative_to(tree))


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
