"""Makes the traces that come with Elastron, from a seed.

They are invented, not recorded. A scanner examines one patient after another; an examination is a
localiser and a handful of scans, drawn from `PROTOCOLS`, with short pauses in between; then the
table is changed. Lengths are those of everyday protocols; reconstruction times are log-normal, as
most chains take seconds and a few, iterative or dynamic ones, take minutes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from elastron.errors import ConfigError
from elastron.fleet.traces.trace import Scan, Trace, format_trace

_HOUR = 3600.0
_DAY = 86400.0
#: A Monday in a week without a change of clocks.
_START = datetime(2026, 3, 2, tzinfo=ZoneInfo("Europe/Berlin"))


@dataclass(frozen=True, slots=True)
class Protocol:
    """A kind of scan.

    Attributes:
        name: for people.
        weight: how often it is chosen.
        scan_s: shortest and longest.
        reconstruction_s: median.
        spread: standard deviation of the logarithm of the reconstruction time.
    """

    name: str
    weight: float
    scan_s: tuple[float, float]
    reconstruction_s: float
    spread: float


LOCALISER = Protocol("localiser", 0, (12, 25), 1.5, 0.2)

PROTOCOLS = (
    Protocol("2-D", 0.50, (60, 240), 6, 0.5),
    Protocol("3-D", 0.25, (150, 360), 30, 0.6),
    Protocol("dynamic", 0.15, (60, 240), 45, 0.7),
    Protocol("iterative", 0.10, (120, 300), 240, 0.5),
)


def clinic_day(seed: int) -> Trace:
    """One scanner from half past seven to five, seen for a whole day."""
    chance = random.Random(seed)
    return _trace("clinic-day", _DAY, _session(chance, 7.5 * _HOUR, 17 * _HOUR))


def hospital_week(seed: int) -> Trace:
    """Eight scanners from Monday to Sunday.

    Five have outpatients on weekdays from half past seven to five, two until eight in the evening;
    one of these two works on Saturday morning, too. The eighth takes emergencies day and night,
    and inpatients in the daytime of weekdays.
    """
    chance = random.Random(seed)
    scans: list[Scan] = []
    for day in range(7):
        midnight = day * _DAY
        weekday = day < 5
        if weekday:
            for scanner in range(7):
                opens = midnight + 7.5 * _HOUR + chance.uniform(-600, 900)
                closes = midnight + (17 if scanner < 5 else 20) * _HOUR
                scans += _session(chance, opens, closes)
        elif day == 5:
            scans += _session(chance, midnight + 8 * _HOUR, midnight + 13 * _HOUR)
        by_day = (midnight + 8 * _HOUR, midnight + 18 * _HOUR)
        busy = by_day if weekday else (midnight, midnight)
        scans += _emergencies(chance, midnight, busy)
    return _trace("hospital-week", 7 * _DAY, scans)


def research_burst(seed: int) -> Trace:
    """An evening on which somebody has 300 stored scans reconstructed anew, twice.

    They come as quickly as they are sent; the second time half an hour after the first.
    """
    chance = random.Random(seed)
    scans: list[Scan] = []
    for begin in (0.5 * _HOUR, 1.5 * _HOUR):
        at = begin
        for _ in range(150):
            at += chance.expovariate(1 / 3)
            scans.append(
                Scan(at, chance.uniform(2, 8), chance.lognormvariate(4.1, 0.5))  # median 60 s
            )
    return _trace("research-burst", 4 * _HOUR, scans)


def _session(chance: random.Random, opens: float, closes: float) -> Iterator[Scan]:
    """A scanner's day: patients one after another, none after closing."""
    now = opens
    while now < closes:
        for scan in _examination(chance, now):
            yield scan
            now = scan.arrival_s + scan.scan_s
        now += chance.uniform(240, 720)  # the table is changed


def _emergencies(
    chance: random.Random, midnight: float, busy: tuple[float, float]
) -> Iterator[Scan]:
    """Examinations at random: every 40 minutes on average while `busy`, else every two hours."""
    now = midnight
    while True:
        pause = 2400 if busy[0] <= now < busy[1] else 7200
        now += chance.expovariate(1 / pause)
        if now >= midnight + _DAY - 2 * _HOUR:
            return
        for scan in _examination(chance, now):
            yield scan
            now = scan.arrival_s + scan.scan_s


def _examination(chance: random.Random, begin: float) -> Iterator[Scan]:
    """A localiser and three to nine scans."""
    now = begin
    count = chance.randint(3, 9)
    chosen = chance.choices(PROTOCOLS, [protocol.weight for protocol in PROTOCOLS], k=count)
    for protocol in (LOCALISER, *chosen):
        scan_s = chance.uniform(*protocol.scan_s)
        reconstruction_s = protocol.reconstruction_s * chance.lognormvariate(0, protocol.spread)
        yield Scan(now, scan_s, reconstruction_s)
        now += scan_s + chance.uniform(10, 50)  # planning the next one


def _trace(name: str, duration_s: float, scans: Iterator[Scan] | list[Scan]) -> Trace:
    ordered = sorted(scans, key=lambda scan: scan.arrival_s)
    rounded = (
        Scan(round(s.arrival_s, 1), round(s.scan_s, 1), round(s.reconstruction_s, 1), s.pool)
        for s in ordered
    )
    return Trace(name, _START, duration_s, tuple(rounded))


GENERATORS: dict[str, Callable[[int], Trace]] = {
    "clinic-day": clinic_day,
    "hospital-week": hospital_week,
    "research-burst": research_burst,
}


def make_trace(name: str, seed: int = 1) -> Trace:
    """A trace by its name; the same seed gives the same trace.

    Raises:
        ConfigError: there is no generator of that name.
    """
    if name not in GENERATORS:
        raise ConfigError(f"No trace {name!r} can be made; there are {', '.join(GENERATORS)}.")
    return GENERATORS[name](seed)


def trace_text(name: str, seed: int = 1) -> str:
    """The CSV text of a trace, saying where it comes from.

    Raises:
        ConfigError: as `make_trace`.
    """
    made = f"Invented, not recorded: elastron simulate --make-trace {name} --seed {seed}"
    return format_trace(make_trace(name, seed), [made])
