from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConfigError, DataError
from elastron.fleet.traces import (
    Scan,
    Trace,
    format_trace,
    load_trace,
    parse_trace,
    shipped_traces,
)
from elastron.fleet.traces.generator import GENERATORS, make_trace, trace_text
from elastron.fleet.traces.trace import DEFAULT_START

HEADER = "arrival_s,scan_s,reconstruction_s,pool"


def test_a_trace_is_read():
    trace = parse_trace(
        "# recorded\n# start: 2026-03-02T08:00:00+01:00\n# duration_s: 600\n\n"
        f"{HEADER}\n9.5,60,2e1,gpu\n3,61.25,0,\n"
    )
    assert trace.start == datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert trace.duration_s == 600
    assert trace.scans == (Scan(3, 61.25, 0), Scan(9.5, 60, 20, "gpu"))
    assert trace.pools == ["default", "gpu"]
    assert trace.scans[1].undisturbed_s == 89.5


def test_columns_may_come_in_any_order_and_the_pool_be_left_out():
    trace = parse_trace("scan_s, arrival_s, reconstruction_s\n1,2,3\n")
    assert trace.scans == (Scan(2, 1, 3),)
    assert trace.start == DEFAULT_START


def test_a_start_without_a_zone_is_utc():
    trace = parse_trace(f"# start: 2026-03-02T08:00:00\n{HEADER}\n")
    assert trace.start == datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "t.csv is empty; its first line is arrival_s,scan_s,reconstruction_s,pool."),
        ("arrival_s,scan_s\n", "the column reconstruction_s is missing"),
        (f"{HEADER},tenant\n", "no column 'tenant'"),
        ("arrival_s,scan_s,reconstruction_s,scan_s\n", "no column 'scan_s'; there are"),
        (f"{HEADER}\n1,2,3\n", "t.csv, line 2: 4 values are expected, not 3"),
        (f"# note\n\n{HEADER}\n1,2,3,a\n1,x,3,a\n", "t.csv, line 5: scan_s is not a number"),
        (f"{HEADER}\n1,-2,3,a\n", "scan_s must lie between 0 and ten years"),
        (f"{HEADER}\n1,nan,3,a\n", "scan_s must lie between"),
        (f"{HEADER}\n1772409600000,2,3,a\n", "arrival_s must lie between"),
        (f"# start: yesterday\n{HEADER}\n", "start is not a time such as 2026-03-02"),
        (f"# duration_s: long\n{HEADER}\n", "duration_s is not a number"),
    ],
)
def test_mistakes_are_named_with_their_line(text, words):
    with pytest.raises(DataError) as caught:
        parse_trace(text, "t.csv")
    assert words in str(caught.value)


def test_files_are_read(tmp_path):
    file = tmp_path / "run.csv"
    file.write_text(f"\ufeff{HEADER}\n1,2,3,a\n", encoding="utf-8")
    assert load_trace(file).name == "run"
    with pytest.raises(DataError, match="cannot be read"):
        load_trace(tmp_path / "none.csv")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read"):
        load_trace(file)


seconds = st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000)


@given(
    st.lists(st.builds(Scan, seconds, seconds, seconds, st.sampled_from(["default", "gpu"]))),
    st.integers(0, 10**6),
    st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC)),
)
def test_what_is_written_is_read_again(scans, duration_s, start):
    ordered = tuple(sorted(scans, key=lambda scan: scan.arrival_s))
    trace = Trace("t", start, duration_s, ordered)
    assert parse_trace(format_trace(trace, ["a remark"]), name="t") == trace


@given(st.text())
def test_nonsense_is_an_error_of_our_own(text):
    with contextlib.suppress(DataError):
        parse_trace(f"{HEADER}\n{text}")


@pytest.mark.parametrize("name", GENERATORS)
def test_the_shipped_traces_are_what_their_generator_makes(name):
    path = shipped_traces()[name]
    assert path.read_text(encoding="utf-8") == trace_text(name, 1)
    assert load_trace(path) == make_trace(name, 1)
    assert load_trace(path) != make_trace(name, 2)


def test_all_generators_are_shipped_and_nothing_else():
    assert set(shipped_traces()) == set(GENERATORS)
    with pytest.raises(ConfigError, match="there are clinic-day, hospital-week, research-burst"):
        make_trace("clinic")


def test_the_traces_are_what_they_say():
    day, week, burst = (load_trace(shipped_traces()[name]) for name in sorted(GENERATORS))
    assert day.scans[0].arrival_s == 7.5 * 3600
    assert 17 * 3600 < day.scans[-1].arrival_s < 18.5 * 3600
    assert day.start.weekday() == week.start.weekday() == 0
    by_day = [0] * 7
    for scan in week.scans:
        by_day[int(scan.arrival_s // 86400)] += 1
    assert min(by_day[:5]) > 900
    assert 20 < by_day[6] < by_day[5] < 200
    assert len(burst.scans) == 300
    # One scanner never streams two scans at once.
    for one, following in zip(day.scans, day.scans[1:], strict=False):
        assert one.arrival_s + one.scan_s <= following.arrival_s
