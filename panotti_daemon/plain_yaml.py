"""YAML as people write it in settings: text is what it looks like.

YAML 1.1, which PyYAML reads, takes `no` for false, `22:30` for 1350 and `010` for 8. Here only what every version of
YAML reads alike is more than text; a setting that is a number or a yes or no makes that of text by itself. Keys are
text, and none may stand twice.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"
_ALIKE = re.compile(
    r"|~|null|Null|NULL"
    r"|true|True|TRUE|false|False|FALSE"
    r"|[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+"
    r"|[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    r"|<<"
)


def parse(text: str) -> Any:
    """Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506 a safe one


class _Loader(yaml.SafeLoader):
    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and not _ALIKE.fullmatch(value):
            return self.DEFAULT_SCALAR_TAG
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuses a key that stands twice, as YAML does and PyYAML does not: what the first one says would be lost
        without a word."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        places: dict[str, yaml.Mark] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = self.DEFAULT_SCALAR_TAG
                first = places.setdefault(key.value, key.start_mark)
                if first is not key.start_mark:
                    twice = f"the key {key.value} stands there twice, first in line {first.line + 1}"
                    raise yaml.MarkedYAMLError(problem=twice, problem_mark=key.start_mark)
        return node
