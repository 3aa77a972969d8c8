"""Prewhitened noise is white; scale as in the SNR-units paper."""

import math

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.recon import prewhitening
from elastron.recon.prewhitening import (
    covariance_sum,
    mix_channels,
    noise_scale,
    prewhitening_matrix,
)


def correlated_noise(n_channels: int, n: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    mix = rng.standard_normal((n_channels, n_channels, 2)) @ [1, 1j]
    white = rng.standard_normal((n, n_channels, samples, 2)) @ [1, 1j]
    return (mix @ white).astype(np.complex64)


def test_noise_becomes_white():
    noise = correlated_noise(6, 40, 256)
    matrix = prewhitening_matrix(covariance_sum(noise) / (40 * 256 - 1))
    white = matrix @ noise
    got = covariance_sum(white) / (40 * 256 - 1)
    np.testing.assert_allclose(got, np.eye(6), atol=1e-3)


def test_covariance_sum_is_the_definition():
    noise = correlated_noise(3, 4, 5)
    want = sum(np.outer(d.conj(), d) for readout in noise for d in readout.T)
    np.testing.assert_allclose(covariance_sum(noise), want, rtol=1e-4)


@pytest.mark.parametrize("cuts", [[1], [7], [10, 11, 30], list(range(1, 40))])
def test_covariance_sum_has_the_same_bits_in_any_batches(cuts: list[int]):
    noise = correlated_noise(6, 40, 256)
    total = None
    for part in np.split(noise, cuts):
        total = covariance_sum(part, total)
    np.testing.assert_array_equal(total, covariance_sum(noise))


def test_unknown_noise_changes_nothing_and_a_singular_covariance_is_an_error():
    np.testing.assert_array_equal(prewhitening_matrix(np.zeros((3, 3), np.complex64)), np.eye(3))
    with pytest.raises(DataError, match="positive definite"):
        prewhitening_matrix(np.ones((3, 3), np.complex64))


def test_scale():
    assert noise_scale(8, 4, 0.5) == math.sqrt(2)
    assert noise_scale(0, 4, 0.5) == noise_scale(4, 0, 0.5) == 1


@pytest.mark.parametrize("block_bytes", [1, 200, 1 << 20])
def test_channels_of_unaligned_readouts_are_mixed(block_bytes, monkeypatch):
    monkeypatch.setattr(prewhitening, "_BLOCK_BYTES", block_bytes)
    noise = correlated_noise(3, 7, 8)
    matrix = correlated_noise(1, 2, 3)[:, 0]  # two channels of three
    wire = np.zeros(7, np.dtype([("header", "V342"), ("data", "<c8", (3, 8))]))
    wire["data"] = noise
    want = matrix @ noise
    for x in (noise, wire["data"], noise[::-1][::-1], noise[:0]):
        got = mix_channels(matrix, x)
        assert got.dtype == np.complex64
        np.testing.assert_allclose(got, want[: len(x)], rtol=1e-4, atol=1e-4)
