from __future__ import annotations

import pytest

from panotti_daemon.engine.machine.hardware import Machine
from panotti_daemon.engine.models.catalog import KNOWN
from panotti_daemon.engine.models.choice import LEAST_SPEED, choose
from panotti_daemon.errors import ModelUnavailable

NO_GPU = "there is no NVIDIA driver"
LAPTOP = Machine(cores=4, memory_megabytes=8_000, without_gpu=NO_GPU)
OLD = Machine(cores=2, memory_megabytes=4_000, without_gpu=NO_GPU)
DESKTOP = Machine(cores=8, memory_megabytes=32_000, without_gpu=NO_GPU)
WITH_GPU = Machine(cores=4, memory_megabytes=8_000, without_gpu=None)
ALL = list(KNOWN)


def chosen(names: list[str], on: Machine, language: str = "auto") -> str:
    choice = choose(names, language, on)
    assert choice
    return choice.name


@pytest.mark.parametrize(
    ("machine", "name"), [(OLD, "small"), (LAPTOP, "small"), (DESKTOP, "large-v3-turbo"), (WITH_GPU, "large-v3-turbo")]
)
def test_the_best_model_is_the_best_that_the_machine_is_fast_enough_for(machine: Machine, name: str) -> None:
    assert chosen(ALL, machine) == name


def test_what_is_chosen_for_a_processor_is_never_slower_than_promised_where_there_is_a_choice() -> None:
    for cores in (1, 2, 4, 6, 8, 16):
        for memory in (2_000, 4_000, 8_000, 16_000, 64_000):
            machine = Machine(cores, memory, NO_GPU)
            model = KNOWN[chosen(ALL, machine)]
            assert machine.speed_of(model) >= LEAST_SPEED
            assert machine.has_memory_for(model)


def test_a_large_model_that_is_too_slow_is_passed_over_even_for_one_that_knows_english_alone() -> None:
    choice = choose(["large-v3", "tiny.en"], "auto", LAPTOP)
    assert choice
    assert choice.name == "tiny.en"
    assert choice.why == "knows English alone, but large-v3 takes more memory than the engine may have"
    assert chosen(["large-v3-turbo", "base"], LAPTOP) == "base"


def test_where_the_language_leaves_no_other_a_slow_model_is_better_than_none() -> None:
    choice = choose(["large-v3-turbo", "medium", "tiny.en"], "de", OLD)
    assert choice
    assert choice.name == "medium"
    assert "and the others that are here and fit are no better" in choice.why


def test_the_reason_names_what_was_passed_over() -> None:
    choice = choose(["large-v3-turbo", "small", "base"], "auto", LAPTOP)
    assert choice
    assert choice.why == (
        "is the best one here for this machine: large-v3-turbo would take 0.7 times a recording's length"
    )
    assert chosen(["small"], LAPTOP) == "small"


def test_languages_are_minded() -> None:
    assert chosen(["tiny.en", "tiny"], LAPTOP) == "tiny"
    assert chosen(["tiny.en", "tiny"], LAPTOP, "en") == "tiny.en"
    assert chosen(["tiny.en", "tiny"], LAPTOP, "de") == "tiny"
    assert chosen(["tiny.en"], LAPTOP) == "tiny.en"
    with pytest.raises(ModelUnavailable, match="multilingual"):
        choose(["tiny.en"], "de", LAPTOP)
    assert choose([], "de", LAPTOP) is None


def test_one_that_was_taught_no_translation_is_not_asked_for_any() -> None:
    best = choose(["large-v3-turbo", "small", "tiny.en"], "auto", DESKTOP, translate=True)
    assert best
    assert best.name == "small"
    with pytest.raises(ModelUnavailable, match=r"can translate \(large-v3-turbo, tiny.en\): `panotti models pull"):
        choose(["large-v3-turbo", "tiny.en"], "de", DESKTOP, translate=True)


def test_a_model_that_nobody_knows_is_taken_for_a_suitable_one() -> None:
    assert chosen(["my-own"], OLD) == "my-own"
    assert chosen(["base", "my-own"], OLD) == "base"
    assert chosen(["large-v3", "my-own"], OLD) == "my-own"


def test_a_memory_limit_counts() -> None:
    limited = Machine(cores=8, memory_megabytes=32_000, without_gpu=NO_GPU, limit_megabytes=1_000)
    assert chosen(["large-v3-turbo", "base"], limited) == "base"
    assert "1 GB for the engine" in limited.description
