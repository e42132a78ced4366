"""What the engine may take of the machine: a part of the settings, which each of its processes is told at its start."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

KNOWS_AFFINITY = sys.platform in ("linux", "win32")


def usable_processors() -> list[int]:
    """Those that this process may run on, by number."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _there(processors: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if processors is None:
        return None
    if not KNOWS_AFFINITY:
        raise ValueError("cannot be set on this system")
    usable = usable_processors()
    if not processors or not set(processors) <= set(usable):
        raise ValueError(f"must name processors of this machine: {', '.join(map(str, usable))}")
    return tuple(sorted(set(processors)))


class Resources(BaseModel):
    model_config = ConfigDict(frozen=True)

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU that CTranslate2 can use, else the processor."""
    compute_type: Literal["auto", "int8", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32"] = "auto"
    """What the model computes with; `auto`: `int8` on the processor, what is fastest on a GPU."""
    affinity: Annotated[tuple[int, ...] | None, AfterValidator(_there)] = None
    """The processors to run on, by number; None: any."""
    memory_megabytes: int | None = Field(None, ge=400)
    """A process of the engine that takes more is ended; None: no limit."""
    priority: Literal["background", "normal"] = "background"
    """`background`: whatever else runs on this machine goes first."""


DEFAULT = Resources()
