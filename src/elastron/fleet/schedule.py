"""Minimums that follow the clock, also across the changes of daylight saving.

A rule's minimum is that of whichever of its two moments came last, so it holds however long ago
that was: a fleet that starts at noon has the morning's minimum. Cron expressions are read as
Debian's cron does: what falls into the hour that is left out in spring happens when that hour is
over; what falls into the hour that comes twice in autumn happens the first time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim

from elastron.fleet.settings import Moment, PoolSettings, ScheduleRule

#: More than clocks change by for daylight saving: a search begun so much earlier misses nothing.
_SLACK_S = 3 * 3600.0


def last_before(cron: str, time_zone: str, now: float) -> float | None:
    """The latest moment of `cron` not after `now`, in seconds since 1970; None: there was none."""
    zone = ZoneInfo(time_zone)
    # Going back from `now` itself would, within the hour that comes twice, leave out what has
    # happened the first time: by its wall clock it is still to come.
    begin = datetime.fromtimestamp(now + _slack_s(cron), zone)
    for moment in CronSim(cron, begin, reverse=True):
        if moment.timestamp() <= now:
            return moment.timestamp()
    return None


def first_after(cron: str, time_zone: str, now: float) -> float:
    """The first moment of `cron` after `now`, in seconds since 1970; infinity: never again."""
    zone = ZoneInfo(time_zone)
    for moment in CronSim(cron, datetime.fromtimestamp(now - _slack_s(cron), zone)):
        if moment.timestamp() > now:
            return moment.timestamp()
    return math.inf


def _slack_s(cron: str) -> float:
    # With a star, moments go by elapsed time, not by the wall clock; and they are many.
    minute, hour = cron.split()[:2]
    return 60.0 if minute[0] == "*" or hour[0] == "*" else _SLACK_S


class Schedule:
    """The minimum of a pool over time.

    Args:
        rules: where several hold, the largest minimum counts.
        otherwise: the minimum without rules, and of a `down` that names none.
    """

    def __init__(self, rules: Sequence[ScheduleRule], otherwise: int) -> None:
        self._rules = rules
        self._otherwise = otherwise
        # What was found last, and between which times it holds: looking up costs next to nothing.
        self._known = (math.inf, -math.inf, otherwise)

    def minimum(self, now: float) -> int:
        """Nodes at least at `now`, in seconds since 1970."""
        return self._at(now)[2]

    def until(self, now: float) -> float:
        """When the minimum may change next, in seconds since 1970; infinity: never."""
        return self._at(now)[1]

    def _at(self, now: float) -> tuple[float, float, int]:
        since, until, _ = self._known
        if not since <= now < until:
            self._known = self._find(now)
        return self._known

    def _find(self, now: float) -> tuple[float, float, int]:
        if not self._rules:
            return -math.inf, math.inf, self._otherwise
        minimums: list[int] = []
        until = math.inf
        since = -math.inf
        for rule in self._rules:
            came: list[tuple[float, int, Moment]] = []
            for rank, moment in enumerate((rule.up, rule.down)):
                at = last_before(moment.cron, rule.time_zone, now)
                if at is not None:
                    # At the same time, the smaller rank (`up`) wins: rather a node too many.
                    came.append((at, -rank, moment))
                until = min(until, first_after(moment.cron, rule.time_zone, now))
            at, _, moment = max(came, default=(-math.inf, 0, rule.down), key=lambda c: c[:2])
            since = max(since, at)
            minimums.append(self._otherwise if moment.min is None else moment.min)
        return since, until, max(minimums)


@functools.lru_cache(maxsize=256)
def _schedule(rules: tuple[ScheduleRule, ...], otherwise: int) -> Schedule:
    return Schedule(rules, otherwise)


def schedule_of(pool: PoolSettings) -> Schedule:
    """The schedule of a pool; without rules its `min` holds always."""
    return _schedule(pool.scaling.schedule, pool.min)
