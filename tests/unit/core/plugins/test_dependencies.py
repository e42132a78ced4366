from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from panotti_daemon.core.plugins.dependencies import start_order
from panotti_daemon.core.plugins.manifest import Manifest
from tests.unit.core.plugins.managed import outcome, plugin

NAMES = [f"p{number}" for number in range(8)]


def manifest(name: str, needs: list[str]) -> Manifest:
    dependencies = dict.fromkeys(needs, ">=1")
    return Manifest(name=name, version="1.0", api_version=1, description="", dependencies=dependencies)


@given(st.permutations(NAMES), st.lists(st.tuples(st.sampled_from(range(8)), st.sampled_from(range(8)))))
def test_each_starts_once_and_after_those_it_needs(names: list[str], pairs: list[tuple[int, int]]) -> None:
    needs = {name: [f"p{b}" for a, b in pairs if f"p{a}" == name and b < a] for name in names}
    order = start_order({name: manifest(name, needed) for name, needed in needs.items()})
    assert sorted(order) == NAMES
    assert all(order.index(needed) < order.index(name) for name in names for needed in needs[name])


def test_what_needs_nothing_starts_as_it_was_found() -> None:
    assert start_order({name: manifest(name, []) for name in ("b", "a", "c")}) == ["b", "a", "c"]


def test_the_whole_chain_is_named_up_to_what_is_not_to_be_had(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "a", dependencies={"b": ">=1"})
    plugin(tmp_path / "plugins", "b", dependencies={"c": ">=1"})
    plugin(tmp_path / "plugins", "c", dependencies={"d": ">=2,<3"})
    plugin(tmp_path / "plugins", "fine")
    found = outcome(tmp_path)
    assert found["a"] == ("failed", "cannot start: a -> b -> c -> d >=2,<3, which is not there")
    assert found["fine"] == ("running", None)


def test_a_plugin_with_a_broken_manifest_ends_the_chain(tmp_path: Path) -> None:
    plugin(tmp_path / "plugins", "a", dependencies={"b": ">=1"})
    (plugin(tmp_path / "plugins", "b") / "plugin.yaml").write_text("[]")
    reason = str(outcome(tmp_path)["a"][1])
    assert reason.startswith("cannot start: a -> b, which is broken: ")
    assert reason.endswith("must hold keys such as `name: b`")
