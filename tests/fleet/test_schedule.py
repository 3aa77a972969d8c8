from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet.schedule import Schedule, first_after, last_before, schedule_of
from elastron.fleet.settings import Moment, PoolSettings, ScalingSettings, ScheduleRule

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"

#: The nights of 2026 in which clocks change: the hour that is left out or comes twice begins so.
CHANGES = {
    BERLIN: [datetime(2026, 3, 29, 2), datetime(2026, 10, 25, 2)],
    NEW_YORK: [datetime(2026, 3, 8, 2), datetime(2026, 11, 1, 1)],
}


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def local(text: str, zone: str, fold: int = 0) -> float:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def rule(up: str, down: str, zone: str = "UTC", *, high: int = 6, low: int | None = None):
    return ScheduleRule(
        time_zone=zone, up=Moment(cron=up, min=high), down=Moment(cron=down, min=low)
    )


WORKING_HOURS = ("0 7 * * 1-5", "0 18 * * 1-5")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-02T06:59:59", 1),  # Monday
        ("2026-03-02T07:00:00", 6),
        ("2026-03-02T17:59:59.5", 6),
        ("2026-03-02T18:00:00", 1),
        ("2026-03-07T12:00:00", 1),  # Saturday
        ("2026-03-09T06:59:59", 1),
    ],
)
def test_working_hours(now, expected):
    assert Schedule([rule(*WORKING_HOURS)], 1).minimum(utc(now)) == expected


def test_without_rules_the_pools_own_minimum_holds():
    schedule = Schedule([], 3)
    assert schedule.minimum(utc("2026-03-02T12:00:00")) == 3
    assert schedule.until(utc("2026-03-02T12:00:00")) == math.inf


def test_a_rule_replaces_the_pools_own_minimum():
    # As the original's CronJobs did: they set `minReplicas`, also below what it was before.
    night = rule("0 7 * * *", "0 22 * * *", high=5, low=0)
    assert Schedule([night], 2).minimum(utc("2026-03-02T23:00:00")) == 0
    assert Schedule([rule("0 7 * * *", "0 22 * * *")], 2).minimum(utc("2026-03-02T23:00:00")) == 2


def test_overlapping_rules_the_largest_minimum_holds():
    day = rule("0 7 * * 1-5", "0 18 * * 1-5", high=6)
    clinic = rule("0 9 * * 3", "0 20 * * 3", high=9)  # Wednesdays
    small = rule("0 0 * * 3", "0 0 * * 4", high=2)
    schedule = Schedule([day, clinic, small], 1)
    wednesday = {
        hour: schedule.minimum(utc(f"2026-03-04T{hour:02d}:30:00")) for hour in (6, 8, 12, 19, 21)
    }
    assert wednesday == {6: 2, 8: 6, 12: 9, 19: 9, 21: 2}
    assert schedule.minimum(utc("2026-03-05T12:00:00")) == 6


def test_when_up_and_down_meet_up_wins():
    schedule = Schedule([rule("0 7 * * *", "0 7 * * *")], 1)
    assert schedule.minimum(utc("2026-03-02T07:00:00")) == 6


def test_the_minimum_at_the_start_is_that_of_the_last_moment_however_long_ago():
    yearly = rule("0 0 1 1 *", "0 0 1 7 *", high=4)
    assert Schedule([yearly], 1).minimum(utc("2026-06-30T23:59:00")) == 4
    assert Schedule([yearly], 1).minimum(utc("2026-12-31T23:59:00")) == 1


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
def test_working_hours_follow_the_wall_clock_all_year(zone):
    schedule = Schedule([rule(*WORKING_HOURS, zone)], 1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    while now.year == 2026:
        there = now.astimezone(ZoneInfo(zone))
        working = there.weekday() < 5 and 7 <= there.hour < 18
        assert schedule.minimum(now.timestamp()) == (6 if working else 1), there
        now += timedelta(minutes=30)


def test_what_falls_into_the_hour_left_out_happens_when_it_is_over():
    berlin, new_york = utc("2026-03-29T01:00:00"), utc("2026-03-08T07:00:00")
    assert last_before("30 2 * * *", BERLIN, berlin) == berlin
    assert last_before("30 2 * * *", BERLIN, berlin - 1) == local("2026-03-28T02:30", BERLIN)
    assert first_after("30 2 * * *", BERLIN, berlin - 1) == berlin
    assert last_before("30 2 * * *", NEW_YORK, new_york + 60) == new_york
    assert first_after("30 2 * * *", NEW_YORK, new_york) == local("2026-03-09T02:30", NEW_YORK)


@pytest.mark.parametrize(("zone", "day"), [(BERLIN, "2026-10-25T02"), (NEW_YORK, "2026-11-01T01")])
def test_what_falls_into_the_hour_that_comes_twice_happens_the_first_time(zone, day):
    hour = datetime.fromisoformat(f"{day}:00").hour
    cron = f"30 {hour} * * *"
    first, second = local(f"{day}:30", zone), local(f"{day}:30", zone, fold=1)
    assert second - first == 3600
    for later in (0, 1, 1800, 1801, 3599, 3600, 3601):
        assert last_before(cron, zone, first + later) == first
    assert last_before(cron, zone, first - 1) == first - 86400
    assert first_after(cron, zone, first) == first + 25 * 3600


def happened(hour: int, minute: int, zone: str, now: float) -> float:
    """When HOUR:MINUTE came last, by the wall clock and no cron library."""
    at = ZoneInfo(zone)
    day = datetime.fromtimestamp(now, at).date() + timedelta(days=1)
    while True:
        moment = _on(day, hour, minute, at)
        if moment <= now:
            return moment
        day -= timedelta(days=1)


def _on(day: date, hour: int, minute: int, zone: ZoneInfo) -> float:
    there = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    exists = there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == there.replace(
        tzinfo=None
    )
    if not exists:  # the first moment after the gap
        there = datetime(day.year, day.month, day.day, hour, tzinfo=zone) + timedelta(hours=1)
        there = there.replace(minute=0)
    return there.timestamp()


@given(
    st.sampled_from([(zone, night) for zone, nights in CHANGES.items() for night in nights]),
    st.tuples(st.integers(0, 23), st.integers(0, 59)),
    st.tuples(st.integers(0, 23), st.integers(0, 59)),
    st.lists(st.integers(-36 * 3600, 36 * 3600), min_size=1, max_size=20),
)
def test_daily_rules_around_the_changes_of_clocks(change, up, down, offsets):
    zone, night = change
    schedule = Schedule(
        [rule(f"{up[1]} {up[0]} * * *", f"{down[1]} {down[0]} * * *", zone, low=0)], 1
    )
    middle = night.replace(tzinfo=ZoneInfo(zone)).timestamp()
    for offset in offsets:
        now = middle + offset
        is_up = happened(*up, zone, now) >= happened(*down, zone, now)
        assert schedule.minimum(now) == (6 if is_up else 0)


@given(
    st.sampled_from([(zone, night) for zone, nights in CHANGES.items() for night in nights]),
    st.sampled_from(["*/20 * * * *", "15 * * * *", "0 */5 * * *", "30 1,2,3 * * *", "0 2 * * 0"]),
    st.integers(-6 * 3600, 6 * 3600),
)
def test_last_and_next_moment_fit_together(change, cron, offset):
    zone, night = change
    now = night.replace(tzinfo=ZoneInfo(zone)).timestamp() + offset
    last, following = last_before(cron, zone, now), first_after(cron, zone, now)
    assert last is not None
    assert last <= now < following
    assert last_before(cron, zone, following) == following
    assert last_before(cron, zone, following - 1) == last
    assert first_after(cron, zone, last) == following


@given(
    st.lists(
        st.builds(
            rule,
            st.sampled_from(["0 7 * * *", "30 2 * * *", "15 9 * * 6"]),
            st.sampled_from(["0 18 * * *", "45 2 * * *", "0 0 1 * *"]),
            st.sampled_from([BERLIN, NEW_YORK, "UTC"]),
            high=st.integers(0, 9),
            low=st.none() | st.integers(0, 9),
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(int(utc("2026-03-20T00:00:00")), int(utc("2026-04-02T00:00:00"))),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_the_minimum_holds_until_it_is_said_to_change(rules, now, parts):
    schedule = Schedule(rules, 1)
    minimum, until = schedule.minimum(now), schedule.until(now)
    assert until > now
    for part in parts:
        between = min(now + part * (until - now), math.nextafter(until, 0))
        assert Schedule(rules, 1).minimum(between) == minimum
        assert schedule.minimum(between) == minimum


def test_a_question_about_the_past_is_answered_afresh():
    schedule = Schedule([rule(*WORKING_HOURS)], 1)
    assert schedule.minimum(utc("2026-03-02T12:00:00")) == 6
    assert schedule.minimum(utc("2026-03-01T12:00:00")) == 1
    assert schedule.minimum(utc("2026-03-02T12:00:00")) == 6


def test_pools_with_the_same_rules_share_a_schedule():
    def made() -> PoolSettings:
        return PoolSettings(scaling=ScalingSettings(schedule=(rule(*WORKING_HOURS),)))

    assert schedule_of(made()) is schedule_of(made())
    assert schedule_of(made()) is not schedule_of(PoolSettings())
