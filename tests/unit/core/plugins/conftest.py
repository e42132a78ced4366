from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def seen() -> Iterator[list[str]]:
    """What plugins noted: they find it as `sys.panotti_seen`."""
    noted: list[str] = []
    sys.panotti_seen = noted  # type: ignore[attr-defined]
    yield noted
    del sys.panotti_seen  # type: ignore[attr-defined]
