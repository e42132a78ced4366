from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from panotti_daemon.engine.media.audio import SAMPLE_RATE, Samples, decode
from panotti_daemon.engine.remote.packing import pack
from tests.speech import SAMPLE


def sound() -> Samples:
    return np.concatenate(list(decode(SAMPLE, print)))


def unpacked(folder: Path, packed: bytes) -> Samples:
    file = folder / "packed"
    file.write_bytes(packed)
    return np.concatenate(list(decode(file, print)))


def test_flac_holds_every_sample(tmp_path: Path) -> None:
    before = sound()
    packed = pack(before, "flac")
    assert packed.startswith(b"fLaC")
    after = unpacked(tmp_path, packed)
    assert len(after) == len(before)
    assert np.abs(after - before).max() < 1e-4


def test_opus_is_a_good_deal_smaller_and_lasts_as_long(tmp_path: Path) -> None:
    before = sound()
    packed = pack(before, "opus")
    assert len(packed) < len(pack(before, "flac")) / 3
    assert abs(len(unpacked(tmp_path, packed)) - len(before)) < 0.1 * SAMPLE_RATE


def test_ten_minutes_of_the_worst_sound_are_less_than_most_servers_take() -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 60 * SAMPLE_RATE).astype(np.float32)
    assert 10 * len(pack(noise, "flac")) < 25e6


@pytest.mark.parametrize("codec", ["flac", "opus"])
def test_what_is_too_loud_is_clipped_and_what_is_short_is_packed(
    codec: Literal["flac", "opus"], tmp_path: Path
) -> None:
    after = unpacked(tmp_path, pack(np.array([2.0, -2.0, 0.0] * 200, dtype=np.float32), codec))
    assert len(after) >= 500
    assert np.abs(after).max() <= 1.1
