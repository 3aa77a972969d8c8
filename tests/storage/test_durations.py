from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.storage.durations import NANOSECONDS, NANOSECONDS_MAX, parse_duration

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        # The table of Go's own documentation and tests of time.ParseDuration.
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5 * S),
        ("30s", 30 * S),
        ("1478s", 1478 * S),
        ("-5s", -5 * S),
        ("+5s", 5 * S),
        ("5.0s", 5 * S),
        ("5.6s", 5_600_000_000),
        ("5.s", 5 * S),
        (".5s", S // 2),
        ("1.0s", S),
        ("1.00s", S),
        ("1.004s", 1_004_000_000),
        ("1.0040s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("11us", 11_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("13ms", 13_000_000),
        ("14s", 14 * S),
        ("15m", 15 * 60 * S),
        ("16h", 16 * 3600 * S),
        ("3h30m", 12_600 * S),
        ("10.5s4m", 250_500_000_000),
        ("-2m3.4s", -123_400_000_000),
        ("1h2m3s4ms5us6ns", 3723 * S + 4_005_006),
        ("39h9m14.425s", 140_954_425_000_000),
        ("52763797000ns", 52_763_797_000),
        ("0.3333333333333333333h", 1_199_999_999_999),
        ("9007199254740993ns", (1 << 53) + 1),
        ("9223372036854775807ns", NANOSECONDS_MAX),
        ("9223372036854775.807us", NANOSECONDS_MAX),
        ("-9223372036854775808ns", -NANOSECONDS_MAX - 1),
        ("172800s", 48 * 3600 * S),
    ],
)
def test_reads_what_go_reads(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "-",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        "1d",
        "1w",
        "1 s",
        " 1s",
        "1s ",
        "1S",
        "--1s",
        "1h-5m",
        "1e3s",
        "٣s",
        "9223372036854775808ns",
        "9223372036854775.808us",
        "9223372036854ms775us808ns",
        "-9223372036854775809ns",
        "3000000h",
        "not-an-interval",
        "1" * 200 + "ns",
    ],
)
def test_refuses_what_go_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(NANOSECONDS))), min_size=1))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{count}{unit}" for count, unit in parts[:8])
    total = sum(count * NANOSECONDS[unit] for count, unit in parts[:8])
    if total <= NANOSECONDS_MAX:
        assert parse_duration(text) == total
        assert parse_duration(f"-{text}") == -total


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert abs(parse_duration(text)) <= NANOSECONDS_MAX + 1
