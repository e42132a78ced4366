"""In which order plugins start, and why one cannot: the chain of what it needs, up to what is not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.specifiers import SpecifierSet

from panotti_daemon.core.plugins.lifecycle import PluginRecord
from panotti_daemon.core.plugins.manifest import Manifest


def start_order(manifests: Mapping[str, Manifest]) -> list[str]:
    """Each after those it depends on, otherwise as they come. Of a circle, `unmet` refuses every member."""
    order: dict[str, None] = {}
    entered: set[str] = set()

    def enter(name: str) -> None:
        if name in manifests and name not in entered:
            entered.add(name)
            for needed in manifests[name].dependencies:
                enter(needed)
            order[name] = None

    for name in manifests:
        enter(name)
    return list(order)


def unmet(manifest: Manifest, records: Mapping[str, PluginRecord], above: tuple[str, ...] = ()) -> str | None:
    """The first chain that breaks, such as `a -> b -> c >=1, which is not there`; None if all is there and running."""
    chain = (*above, manifest.name)
    for name, versions in manifest.dependencies.items():
        link, needed = " -> ".join([*chain, name]), records.get(name)
        if name in chain:
            return f"{link}, which is a circle"
        if needed is None:
            return f"{link} {versions}, which is not there"
        if needed.manifest is None:
            return f"{link}, which is broken: {needed.reason}"
        if not accepts(versions, needed.manifest):
            return f"{link} {versions}, and {needed.manifest.version} is there"
        if not needed.is_up:
            why = f": {needed.reason}" if needed.reason else ""
            return unmet(needed.manifest, records, chain) or f"{link}, which is {needed.state}{why}"
    return None


def accepts(versions: str, manifest: Manifest) -> bool:
    return SpecifierSet(versions).contains(manifest.version, prereleases=True)


def dependents(name: str, records: Iterable[PluginRecord]) -> list[PluginRecord]:
    """The running plugins that need this one, directly or through others; those that started last come first."""
    running = [record for record in records if record.is_up and record.manifest]
    needing, found = {name}, list[PluginRecord]()
    for record in running:
        if record.manifest and needing & record.manifest.dependencies.keys():
            needing.add(record.name)
            found.insert(0, record)
    return found
