"""Noise from a secret seed: reproducible, normal, and of all the seed's bits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from everloop.contracts.errors import ShouldFixArgument
from synthetic.noise import SealedNoise

SEED = bytes(range(32))


def test_the_same_seed_gives_the_same_stream() -> None:
    one, two = SealedNoise(SEED, "fit"), SealedNoise(SEED, "fit")
    for shape in ((3, 2), (5,), ()):
        first, second = one(shape), two(shape)
        assert first.shape == shape
        assert np.array_equal(first, second)


def test_a_stream_goes_on() -> None:
    noise = SealedNoise(SEED, "fit")
    assert not np.array_equal(noise((4,)), noise((4,)))


@pytest.mark.parametrize("byte", [0, 3, 4, 15, 31])
def test_every_bit_of_the_seed_counts(byte: int) -> None:
    other = bytearray(SEED)
    other[byte] ^= 1
    assert not np.allclose(SealedNoise(SEED, "fit")((8,)), SealedNoise(bytes(other), "fit")((8,)))


def test_purposes_have_streams_of_their_own() -> None:
    assert not np.allclose(SealedNoise(SEED, "fit")((8,)), SealedNoise(SEED, "profiles")((8,)))


def test_it_is_standard_normal() -> None:
    drawn = SealedNoise(SEED, "fit")((40_000,))
    assert kstest(drawn, "norm").pvalue > 0.001
    assert np.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(0.0, abs=0.02)
    assert np.abs(drawn).max() > 3.5


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33])
def test_other_seeds_are_refused(seed: bytes) -> None:
    with pytest.raises(ShouldFixArgument, match=f"not {len(seed)}"):
        SealedNoise(seed, "fit")
