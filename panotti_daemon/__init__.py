"""Panotti: drop a recording into a folder, and its transcript appears."""

__version__ = "0.1.0"
