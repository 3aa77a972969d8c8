"""NHLBI compression against its definition, bit by bit."""

from __future__ import annotations

import importlib.util
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ProtocolError
from elastron.wire.compression import compress_nhlbi, decompress_nhlbi, decompress_zfp


def by_definition(body: bytes) -> np.ndarray:
    """The reference's section 2.1, one bit after the other."""
    elements, scale, bits = struct.unpack_from("<QfB", body)
    stream = int.from_bytes(body[13:], "little")
    values = []
    for i in range(elements):
        integer = (stream >> (i * bits)) & ((1 << bits) - 1)
        if integer >> (bits - 1):
            integer -= 1 << bits
        values.append(np.float32(integer) / np.float32(scale))
    return np.array(values, np.float32)


values = st.lists(st.floats(-1e4, 1e4, width=32), max_size=40).map(
    lambda v: np.array(v, np.float32)
)


@given(values, st.integers(1, 31))
def test_bits(floats: np.ndarray, bits: int) -> None:
    body = compress_nhlbi(floats, bits=bits)
    assert len(body) == 13 + -(-len(floats) * bits // 8)
    found = decompress_nhlbi(np.frombuffer(body, np.uint8), len(floats))
    np.testing.assert_array_equal(found, by_definition(body))
    if bits > 1 and len(floats):
        scale = struct.unpack_from("<f", body, 8)[0]
        spacing = np.spacing(np.abs(floats).max())
        assert np.abs(found - floats).max() <= 0.5 / scale + spacing


@given(st.integers(1, 32), st.integers(0, 40), st.randoms())
def test_any_integers_are_unpacked(bits: int, elements: int, random) -> None:
    packed = random.randbytes(-(-elements * bits // 8))
    body = struct.pack("<QfB", elements, 0.25, bits) + packed
    found = decompress_nhlbi(np.frombuffer(body, np.uint8), elements)
    np.testing.assert_array_equal(found, by_definition(body))


@given(values, st.floats(1e-3, 10))
def test_tolerance(floats: np.ndarray, tolerance: float) -> None:
    body = compress_nhlbi(floats, tolerance=tolerance)
    found = decompress_nhlbi(np.frombuffer(body, np.uint8), len(floats))
    assert np.abs(found - floats).max(initial=0) <= tolerance


def test_a_known_stream() -> None:
    # 12 bits: 1, -1, 2047, -2048 at scale 2.
    body = struct.pack("<QfB", 4, 2.0, 12) + (
        0x001 | 0xFFF << 12 | 0x7FF << 24 | 0x800 << 36
    ).to_bytes(6, "little")
    found = decompress_nhlbi(np.frombuffer(body, np.uint8), 4)
    assert found.tolist() == [0.5, -0.5, 1023.5, -1024.0]


@pytest.mark.parametrize("scale", [0.0, float("inf"), float("nan")])
def test_a_constant_zero_readout_of_the_original(scale: float) -> None:
    body = np.frombuffer(struct.pack("<QfB", 2, scale, 8) + bytes(2), np.uint8)
    assert decompress_nhlbi(body, 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    "options",
    [{}, {"bits": 4, "tolerance": 0.1}, {"bits": 0}, {"bits": 32}, {"tolerance": 1e-9}],
)
def test_options_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"bits|tolerance"):
        compress_nhlbi(np.full(3, 1e3, np.float32), **options)  # type: ignore[arg-type]


def test_samples_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        compress_nhlbi(np.array([np.nan], np.float32), bits=8)


@pytest.mark.skipif(importlib.util.find_spec("zfpy") is not None, reason="zfpy is installed")
def test_zfp_without_its_package() -> None:
    with pytest.raises(ProtocolError, match=r"zfpy.*Install"):
        decompress_zfp(np.zeros(8, np.uint8), 2)


def test_zfp_with_its_package() -> None:
    zfpy = pytest.importorskip("zfpy", reason="zfpy is optional and not installed")
    values = np.arange(64, dtype=np.float32).reshape(4, 16)
    body = np.frombuffer(zfpy.compress_numpy(values, tolerance=1e-3), np.uint8)
    assert np.abs(decompress_zfp(body, 64) - values.reshape(-1)).max() <= 1e-3
    with pytest.raises(ProtocolError, match="says 10"):
        decompress_zfp(body, 10)
    with pytest.raises(ProtocolError, match="cannot be read"):
        decompress_zfp(body[:3], 64)
