from __future__ import annotations

import numpy as np
import pytest

from elastron.client import Compression
from elastron.errors import DataError
from elastron.mrd.acquisition import AcquisitionFlag
from elastron.wire import Decoder, message_nbytes
from tests.client.scans import make_batch

NOISE = make_batch(64, samples=64, seed=1, flag=AcquisitionFlag.IS_NOISE_MEASUREMENT)
DATA = make_batch(8, samples=64, seed=2)


def through(compression: Compression, *batches):
    """Readouts after encoding and decoding, and the bytes that took."""
    decoder = Decoder()
    encoder = compression.encoder()
    size = 0
    for batch in batches:
        for piece in encoder(batch):
            for buffer in piece:
                decoder.feed(buffer)
                size += memoryview(buffer).nbytes
    return np.concatenate([message.data for message in decoder.messages()]), size


def test_bits_bound_the_size():
    data, size = through(Compression(bits=8), DATA)
    assert size < message_nbytes(DATA) * 0.6
    assert np.abs(data - DATA.data).max() < np.abs(DATA.data).max() / 100


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_noise_bounds_the_error(share):
    data, _ = through(Compression(noise_share=share), NOISE, DATA)
    np.testing.assert_array_equal(data[:64], NOISE.data)
    error = (data[64:] - DATA.data).view(np.float32)
    assert 0.5 * share < np.abs(error).max() < 1.05 * share  # the noise has standard deviation 1


def test_the_noise_is_scaled_to_the_dwell_time():
    slow = NOISE.select(slice(None))
    slow.headers["sample_time_us"] = 20
    data, _ = through(Compression(noise_share=0.1), slow, DATA)
    error = (data[64:] - DATA.data).view(np.float32)
    assert 0.1 < np.abs(error).max() < 0.21  # four times the bandwidth, twice the noise


def test_noise_and_data_may_come_in_one_batch():
    both = make_batch(40, seed=3)
    both.headers["flags"][:30] = AcquisitionFlag.IS_NOISE_MEASUREMENT.mask
    data, _ = through(Compression(noise_share=0.1), both)
    np.testing.assert_array_equal(data[:30], both.data[:30])
    assert np.abs(data[30:] - both.data[30:]).max() > 0


def test_unknown_noise_is_an_error():
    with pytest.raises(DataError, match="no noise readouts"):
        through(Compression(noise_share=0.1), DATA)


@pytest.mark.parametrize("values", [{}, {"bits": 8, "noise_share": 1}, {"bits": 0}, {"bits": 32}])
def test_impossible_settings(values):
    with pytest.raises(ValueError, match="bits"):
        Compression(**values)
    with pytest.raises(ValueError, match="above 0"):
        Compression(noise_share=0)
