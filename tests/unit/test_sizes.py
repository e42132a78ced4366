from __future__ import annotations

import pytest

from panotti_daemon.sizes import shown_size


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (75_021_000, "75 MB"),
        (999_600_000, "1 GB"),
        (3_091_000_000, "3.09 GB"),
        (20 * 10**9, "20 GB"),
        (10**15, "1000 TB"),
    ],
)
def test_sizes_are_shown_as_people_read_them(size: int, shown: str) -> None:
    assert shown_size(size) == shown
