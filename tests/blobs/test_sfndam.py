"""The noise covariance's blob format, held against the layout in the Gadgetron's sfndam.h."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.blobs.sfndam import NoiseCovariance
from elastron.errors import StorageError


def covariance(n: int, seed: int = 0) -> NoiseCovariance:
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))).astype(np.complex64)
    labels = tuple(f"C{i}" for i in range(n))
    return NoiseCovariance(a @ a.conj().T, labels, 1024, 2.5, 0.793)


def test_layout_is_the_standards_byte_for_byte():
    noise = covariance(2)
    blob = noise.to_bytes()
    assert blob[:6] == b"SFNDAM"
    assert struct.unpack_from("<III", blob, 6) == (1, 7, 2)
    *shape, meta_length = struct.unpack_from("<QQQ", blob, 18)
    assert shape == [2, 2]
    # Column-major, as a Gadgetron's hoNDArray lies in memory.
    values = np.frombuffer(blob, "<c8", 4, 42)
    np.testing.assert_array_equal(values, noise.covariance.ravel(order="F"))
    meta = json.loads(blob[42 + 32 :])
    assert len(blob) == 42 + 32 + meta_length
    assert set(meta) == {
        "channels",
        "labels",
        "noiseDwellTimeUs",
        "receiverNoiseBandwidth",
        "sampleCount",
    }


@given(st.integers(1, 8), st.integers(0, 100))
def test_round_trip(n, seed):
    noise = covariance(n, seed)
    back = NoiseCovariance.from_bytes(noise.to_bytes())
    np.testing.assert_array_equal(back.covariance, noise.covariance)
    assert (back.labels, back.sample_count, back.dwell_time_us) == (noise.labels, 1024, 2.5)


@given(st.data())
def test_damaged_blobs_are_refused_with_one_error(data):
    blob = bytearray(covariance(3).to_bytes())
    cut = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(StorageError, match="repeat the noise scan"):
        NoiseCovariance.from_bytes(bytes(blob[:cut]))
    position = data.draw(st.integers(0, 41))
    blob[position] ^= 0xFF
    with pytest.raises(StorageError):
        NoiseCovariance.from_bytes(bytes(blob))
