"""Sizes of files and disks, as people read them."""

from __future__ import annotations


def shown_size(size: float) -> str:
    """Of a number of bytes, in three digits: `75 MB`, `1.5 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.4g} TB"
