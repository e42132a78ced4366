"""Which of the models on this machine `auto` means, and why: pure, from what there is and what the machine can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panotti_daemon.engine.machine.hardware import Machine
from panotti_daemon.engine.models.catalog import KNOWN, can_translate, english_only
from panotti_daemon.errors import ModelUnavailable

LEAST_SPEED = 2.0
"""Times real time: a transcript comes at the latest when half of its recording's length has passed."""


@dataclass(frozen=True)
class Choice:
    name: str
    why: str
    """Ends a sentence that begins with the name."""


def choose(names: Sequence[str], language: str, machine: Machine, *, translate: bool = False) -> Choice | None:
    """Of models named best first. None where there are none.

    Raises:
        ModelUnavailable: none of them knows the language, or can translate it into English.
    """
    able = [name for name in names if can_translate(name)] if translate else names
    if names and not able:
        raise ModelUnavailable(
            f"None of the models here can translate ({', '.join(names)}): "
            "`panotti models pull base` downloads one that can"
        )
    fitting, others = _knowing(able, language)
    if able and not fitting:
        raise ModelUnavailable(
            f"The language is set to {language!r}, and the only models here know English alone "
            f"({', '.join(names)}): `panotti models pull base` downloads a multilingual one"
        )
    if not fitting:
        return None
    suitable = [name for name in fitting if _suits(name, machine)]
    if suitable:
        return Choice(suitable[0], _reason(suitable[0], fitting, machine))
    if other := next((name for name in others if _suits(name, machine)), None):
        return Choice(other, f"knows English alone, but {fitting[0]} {_burden(fitting[0], machine)}")
    smallest = min(fitting, key=lambda name: (not _has_memory(name, machine), KNOWN[name].work))
    return Choice(smallest, f"{_burden(smallest, machine)}, and the others that are here and fit are no better")


def _knowing(names: Sequence[str], language: str) -> tuple[list[str], list[str]]:
    """Those that fit a language, and those that would do."""
    if language == "en":
        return list(names), []
    multilingual = [name for name in names if not english_only(name)]
    if language != "auto":
        return multilingual, []
    return (multilingual, [name for name in names if english_only(name)]) if multilingual else (list(names), [])


def _suits(name: str, machine: Machine) -> bool:
    """One that nobody knows was put there by somebody who knows it."""
    if name not in KNOWN or not machine.without_gpu:
        return True
    return _has_memory(name, machine) and machine.speed_of(KNOWN[name]) >= LEAST_SPEED


def _has_memory(name: str, machine: Machine) -> bool:
    return name not in KNOWN or machine.has_memory_for(KNOWN[name])


def _reason(chosen: str, fitting: Sequence[str], machine: Machine) -> str:
    better = fitting[: fitting.index(chosen)]
    why = "is the best one here" if len(fitting) > 1 else "is the only one here that fits"
    if better:
        why = f"is the best one here for this machine: {better[-1]} {_burden(better[-1], machine)}"
    return why if machine.without_gpu else f"{why}, on the GPU"


def _burden(name: str, machine: Machine) -> str:
    """What a model that does not suit asks too much of."""
    model = KNOWN[name]
    if not machine.has_memory_for(model):
        return "takes more memory than the engine may have"
    return f"would take {1 / machine.speed_of(model):.1f} times a recording's length"
