"""The rendered HorizontalPodAutoscaler and ScaledObject mean what `fleet.scaling` means.

The reference follows Kubernetes' own controller (pkg/controller/podautoscaler/horizontal.go and
replica_calculator.go) for the metrics of the rendered object, both with an AverageValue target:
one of each pod (calcPlainMetricReplicas) and one of the whole pool (GetObjectPerPodMetricReplicas;
of an External one, as KEDA makes, the same). It shares no code with ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from cronsim import CronSim
from hypothesis import given, settings

from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, desired
from elastron.fleet.schedule import schedule_of
from elastron.fleet.settings import PoolSettings
from tests.helm.harness import CHARTS, KUBERNETES, named, render

SYNC_S = 15.0
#: Of Kubernetes, where an object says nothing.
TOLERANCE = Fraction(1, 10)
EXAMPLES = CHARTS / "gadgetron" / "examples"


def _quantity(text: str) -> Fraction:
    return Fraction(text[:-1]) / 1000 if text.endswith("m") else Fraction(text)


@dataclass(frozen=True)
class Pods:
    """The pods of a pool at one time; each runs one scan at most.

    Attributes:
        ready: those that tell their load.
        starting: Pending, or not scraped yet: a metric is not expected.
        missing: those that should tell it and do not.
        demand: scans; what the ready ones have no place for waits.
    """

    ready: int
    starting: int
    missing: int
    demand: int

    @property
    def running(self) -> int:
        """Scans on ready pods."""
        return min(self.demand, self.ready)


class Reference:
    """A HorizontalPodAutoscaler as Kubernetes runs it.

    Args:
        spec: of the object.
        target: of every metric.
        per_pod: whether it has the metric of each pod beside that of the pool.
    """

    def __init__(self, spec: dict[str, Any], target: Fraction, *, per_pod: bool) -> None:
        self.least, self.most = spec["minReplicas"], spec["maxReplicas"]
        self.target = target
        self.per_pod = per_pod
        self.behaviour = spec["behavior"]
        self.tolerances = [
            _quantity(self.behaviour[each]["tolerance"])
            if "tolerance" in self.behaviour[each]
            else TOLERANCE
            for each in ("scaleDown", "scaleUp")
        ]
        self.recommendations: list[tuple[float, int]] = []
        self.ups: list[tuple[float, int]] = []
        self.downs: list[tuple[float, int]] = []

    def step(self, pods: Pods, current: int, now: float) -> int:
        """`reconcileAutoscaler`: replicas from the metrics, window, rate and bounds."""
        count = self.worth(pods, current)
        if not self.recommendations:
            self.recommendations.append((now, current))
        count = self._stabilised(count, current, now)
        count = self._limited(count, current, now)
        if count > current:
            self.ups.append((now, count - current))
        elif count < current:
            self.downs.append((now, current - count))
        return count

    def worth(self, pods: Pods, current: int) -> int:
        """`computeReplicasForMetrics`: the largest; without one of them no shrinking."""
        of_pool = self._of_pool(pods.demand, current)
        if not self.per_pod:
            return of_pool
        of_pods = self._of_pods(pods, current)
        return max(of_pool, current if of_pods is None else of_pods)

    def _within(self, ratio: Fraction) -> bool:
        down, up = self.tolerances
        return 1 - down <= ratio <= 1 + up

    def _of_pool(self, demand: int, current: int) -> int:
        if self._within(Fraction(demand) / (self.target * current)):
            return current
        return math.ceil(Fraction(demand) / self.target)

    def _of_pods(self, pods: Pods, current: int) -> int | None:
        if not pods.ready:
            return None
        ratio = Fraction(pods.running) / (self.target * pods.ready)
        grows_with_starting = pods.starting > 0 and ratio > 1
        if not grows_with_starting and not pods.missing:
            return current if self._within(ratio) else math.ceil(ratio * pods.ready)
        usage, counted = Fraction(pods.running), pods.ready
        if pods.missing:
            if ratio < 1:
                usage += pods.missing * self.target
            if ratio != 1:
                counted += pods.missing
        if grows_with_starting:
            counted += pods.starting
        again = usage / (self.target * counted)
        if self._within(again) or (ratio - 1) * (again - 1) < 0:
            return current
        count = math.ceil(again * counted)
        other_way = (again < 1 and count > current) or (again > 1 and count < current)
        return current if other_way else count

    def _stabilised(self, count: int, current: int, now: float) -> int:
        up = self.behaviour["scaleUp"]["stabilizationWindowSeconds"]
        down = self.behaviour["scaleDown"]["stabilizationWindowSeconds"]
        lowest = highest = count
        for when, earlier in self.recommendations:
            if when > now - up:
                lowest = min(lowest, earlier)
            if when > now - down:
                highest = max(highest, earlier)
        self.recommendations.append((now, count))
        # current is moved up to the lowest and down to the highest
        return min(max(current, lowest), highest)

    def _limited(self, count: int, current: int, now: float) -> int:
        if count > current:
            rules = self.behaviour["scaleUp"]
            assert rules["selectPolicy"] == "Max"
            allowed = max(
                self._up(policy, current - self._changed(self.ups, policy, now)
                         + self._changed(self.downs, policy, now))
                for policy in rules["policies"]
            )  # fmt: skip
            return min(count, max(current, allowed), self.most)
        if count < current:
            rules = self.behaviour["scaleDown"]
            assert rules["selectPolicy"] == "Max"
            allowed = min(
                self._down(policy, current + self._changed(self.downs, policy, now)
                           - self._changed(self.ups, policy, now))
                for policy in rules["policies"]
            )  # fmt: skip
            return max(count, min(current, allowed), self.least)
        return min(max(count, self.least), self.most)

    @staticmethod
    def _changed(changes: list[tuple[float, int]], policy: dict[str, Any], now: float) -> int:
        return sum(change for when, change in changes if when > now - policy["periodSeconds"])

    @staticmethod
    def _up(policy: dict[str, Any], start: int) -> int:
        if policy["type"] == "Pods":
            return start + policy["value"]
        return math.ceil(Fraction(start) * (100 + policy["value"]) / 100)

    @staticmethod
    def _down(policy: dict[str, Any], start: int) -> int:
        if policy["type"] == "Pods":
            return start - policy["value"]
        return math.floor(Fraction(start) * (100 - policy["value"]) / 100)


def _behaviour(rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "stabilisation_window_s": rules["stabilizationWindowSeconds"],
        "select": rules["selectPolicy"].lower(),
        "tolerance": float(_quantity(rules["tolerance"])) if "tolerance" in rules else 0.1,
        "policies": [
            {
                "type": {"Pods": "nodes", "Percent": "percent"}[policy["type"]],
                "value": policy["value"],
                "period_s": policy["periodSeconds"],
            }
            for policy in rules["policies"]
        ],
    }


def _ours(least: int, most: int, target: Fraction, behaviour: dict[str, Any]) -> PoolSettings:
    """The same in the words of fleet.yaml."""
    return PoolSettings.model_validate(
        {
            "min": least,
            "max": most,
            "capacity": 1,
            "scaling": {
                "target": float(target),
                "buffer": 0,
                "scale_up": _behaviour(behaviour["scaleUp"]),
                "scale_down": _behaviour(behaviour["scaleDown"]),
            },
        }
    )


@dataclass(frozen=True)
class Case:
    """A rendered object.

    Attributes:
        spec: of the HorizontalPodAutoscaler, by whomever it is made.
        target: of its metrics.
        per_pod: whether one of them is of each pod.
    """

    spec: dict[str, Any]
    target: Fraction
    per_pod: bool


def _hpa(values: Path | None = None, *settings: str, kubernetes: str = KUBERNETES) -> Case:
    objects = render("gadgetron", values, settings=settings, kubernetes=kubernetes)
    spec = named(objects, "HorizontalPodAutoscaler", "gt1-gadgetron-node")["spec"]
    of_pods, of_pool = spec["metrics"]
    assert of_pods["pods"]["metric"]["name"] == "gadgetron_activity"
    assert of_pool["object"]["metric"]["name"] == "elastron_demand"
    targets = {each["target"]["averageValue"] for each in (of_pods["pods"], of_pool["object"])}
    (target,) = targets
    return Case(spec, _quantity(target), per_pod=True)


def _keda(values: Path) -> Case:
    """What KEDA makes of its object: an HPA with the trigger's target."""
    spec = named(render("gadgetron", values), "ScaledObject", "gt1-gadgetron-node")["spec"]
    trigger = spec["triggers"][0]
    assert trigger["metricType"] == "AverageValue"
    metadata = trigger["metadata"]
    hpa = {
        "minReplicas": max(1, spec["minReplicaCount"]),
        "maxReplicas": spec["maxReplicaCount"],
        "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
    }
    target = metadata.get("targetValue") or metadata["threshold"]
    return Case(hpa, _quantity(target), per_pod=False)


LARGE = ("hpa.maxReplicas=200", "hpa.targetInstanceUtilization=1")
CASES: dict[str, Callable[[], Case]] = {
    "default": _hpa,
    "original-readme": lambda: _hpa(EXAMPLES / "original-readme.yaml"),
    "large": lambda: _hpa(None, *LARGE),
    "no-tolerance-yet": lambda: _hpa(None, *LARGE, kubernetes="1.32.0"),
    "keda": lambda: _keda(EXAMPLES / "keda.yaml"),
    "keda-prometheus": lambda: _keda(EXAMPLES / "everything-keda.yaml"),
}


def _nodes(pods: Pods) -> list[Node]:
    """The same as the fleet sees them."""
    states = (
        [NodeState.READY] * pods.ready
        + [NodeState.STARTING] * pods.starting
        + [NodeState.DEAD] * pods.missing
    )
    return [
        Node(f"n{i}", "h:1", state=state, running=int(i < pods.running))
        for i, state in enumerate(states)
    ]


def _drawn(data: st.DataObject, current: int, demand: int, *, all_ready: bool) -> Pods:
    # With none ready the HPA has no metric of a pod; that difference is by design.
    missing = 0 if all_ready else data.draw(st.integers(0, current - 1))
    starting = 0 if all_ready else data.draw(st.integers(0, current - 1 - missing))
    return Pods(current - starting - missing, starting, missing, demand)


@pytest.mark.parametrize("case", sorted(CASES))
@settings(max_examples=30)
@given(data=st.data())
def test_the_objects_mean_what_the_policy_means(case: str, data: st.DataObject):
    found = CASES[case]()
    spec = found.spec
    reference = Reference(spec, found.target, per_pod=found.per_pod)
    ours = _ours(spec["minReplicas"], spec["maxReplicas"], found.target, spec["behavior"])
    history = History()
    theirs = data.draw(st.integers(spec["minReplicas"], spec["maxReplicas"]))
    now = 1_000_000.0
    # A day's ups and downs: a demand holds for some minutes, then changes.
    for _ in range(data.draw(st.integers(1, 8))):
        demand = data.draw(st.integers(0, 2 * spec["maxReplicas"]))
        for _ in range(data.draw(st.integers(1, 40))):
            now += SYNC_S
            # Of KEDA's single metric, see below.
            pods = _drawn(data, theirs, demand, all_ready=not found.per_pod)
            theirs = reference.step(pods, theirs, now)
            demanded = Demand(pods.running, demand - pods.running)
            plan = desired(demanded, _nodes(pods), ours, history, now)
            history = plan.history
            assert plan.desired == theirs, (case, pods, plan.why)


@given(data=st.data())
def test_keda_gives_up_starting_nodes_earlier_and_no_others(data: st.DataObject):
    """Its one metric knows no pods: what the pool is worth, whoever is ready."""
    case = CASES["keda"]()
    hpa = Reference(case.spec, case.target, per_pod=True)
    keda = Reference(case.spec, case.target, per_pod=False)
    current = data.draw(st.integers(1, case.spec["maxReplicas"]))
    demand = data.draw(st.integers(0, 2 * case.spec["maxReplicas"]))
    pods = _drawn(data, current, demand, all_ready=False)
    worth = math.ceil(Fraction(demand) / case.target)
    assert min(worth, current) <= keda.worth(pods, current) <= hpa.worth(pods, current)


@pytest.mark.parametrize("current", [1, 9, 10, 18, 20, 50, 199])
def test_a_cluster_without_tolerances_lags_by_a_tenth(current: int):
    """There growth waits for more than a tenth; with the default target no scan does."""
    new, old = (_hpa(None, *LARGE, kubernetes=each) for each in (KUBERNETES, "1.32.0"))
    for demand in range(401):
        pods = Pods(current, 0, 0, demand)
        lag = Reference(new.spec, new.target, per_pod=True).worth(pods, current) - Reference(
            old.spec, old.target, per_pod=True
        ).worth(pods, current)
        assert 0 <= lag <= current // 10
    default = _hpa(kubernetes="1.32.0")
    for demand in range(current + 1):
        pods = Pods(current, 0, 0, demand)
        settled = Reference(default.spec, default.target, per_pod=True).worth(pods, current)
        assert settled >= demand


def _keda_cron(metadata: dict[str, str], now: float) -> bool:
    """Whether the trigger is active, as KEDA's cron scaler says: the end comes before a start."""
    zone = ZoneInfo(metadata["timezone"])
    start, end = (
        next(CronSim(metadata[each], datetime.fromtimestamp(now, zone)))
        for each in ("start", "end")
    )
    return not start < end


@pytest.mark.parametrize(
    ("zone", "up", "down"),
    [
        ("Etc/UTC", "0 7 * * 1-5", "0 18 * * 1-5"),
        ("Europe/Berlin", "0 7 * * 1-5", "0 18 * * 1-5"),
        ("America/New_York", "30 22 * * *", "15 5 * * *"),
    ],
)
def test_a_cron_trigger_means_what_the_schedule_means(zone: str, up: str, down: str):
    """Where up and down take turns; three weeks, with the night on which the clocks change."""
    settings = (
        *("autoscaling.provider=keda", f"hpa.timeZone={zone}"),
        *(f"hpa.schedule.up.schedule={up}", "hpa.schedule.up.minReplicas=5"),
        *(f"hpa.schedule.down.schedule={down}", "hpa.schedule.down.minReplicas=2"),
    )
    spec = named(render("gadgetron", settings=settings), "ScaledObject", "gt1-gadgetron-node")[
        "spec"
    ]
    cron = spec["triggers"][1]["metadata"]
    rule = {
        "time_zone": zone,
        "up": {"cron": up, "min": 5},
        "down": {"cron": down, "min": 2},
    }
    pool = PoolSettings.model_validate({"max": 20, "scaling": {"schedule": [rule]}})
    begin = datetime(2026, 3, 5, 0, 7, tzinfo=UTC).timestamp()
    for quarter in range(4 * 24 * 26):
        now = begin + 900 * quarter
        theirs = spec["minReplicaCount"]
        if _keda_cron(cron, now):
            theirs = max(theirs, int(cron["desiredReplicas"]))
        assert theirs == schedule_of(pool).minimum(now), datetime.fromtimestamp(now, UTC)
