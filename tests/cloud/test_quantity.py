"""Kubernetes' quantities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.cloud.quantity import quantity
from elastron.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("500m", 0.5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("4Gi", 4 * 2**30),
        ("1k", 1000),
        ("1e3", 1000),
        ("2E", 2e18),
        ("24479292Ki", 24479292 * 1024),
        ("-1", -1),
    ],
)
def test_numbers(text, number):
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "x", "1 GB", "1kb", "Gi", "1..2", "ten"])
def test_what_is_none(text):
    with pytest.raises(ConfigError, match="no quantity"):
        quantity(text)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_order_is_kept(one, other):
    assert (quantity(f"{one}m") < quantity(f"{other}m")) == (one < other)
    assert quantity(f"{one}Ki") == one * 1024
