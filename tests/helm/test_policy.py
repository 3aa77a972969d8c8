"""The rendered HorizontalPodAutoscaler and ScaledObject mean what `fleet.scaling` means.

The reference follows Kubernetes' own controller (pkg/controller/podautoscaler/horizontal.go and
replica_calculator.go) for one metric of the whole pool with an AverageValue target, read from the
rendered object; it shares no code with ours.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, desired
from elastron.fleet.settings import PoolSettings
from tests.helm.harness import CHARTS, named, render

SYNC_S = 15.0
TOLERANCE = Fraction(1, 10)
EXAMPLES = CHARTS / "gadgetron" / "examples"


def _quantity(text: str) -> Fraction:
    return Fraction(text[:-1]) / 1000 if text.endswith("m") else Fraction(text)


class Reference:
    """A HorizontalPodAutoscaler as Kubernetes runs it."""

    def __init__(self, spec: dict[str, Any], target: Fraction) -> None:
        self.least, self.most = spec["minReplicas"], spec["maxReplicas"]
        self.target = target
        self.behaviour = spec["behavior"]
        self.recommendations: list[tuple[float, int]] = []
        self.ups: list[tuple[float, int]] = []
        self.downs: list[tuple[float, int]] = []

    def step(self, demand: int, current: int, now: float) -> int:
        """`reconcileAutoscaler`: replicas from the metric, window, rate and bounds."""
        count = self._from_metric(demand, current)
        if not self.recommendations:
            self.recommendations.append((now, current))
        count = self._stabilised(count, current, now)
        count = self._limited(count, current, now)
        if count > current:
            self.ups.append((now, count - current))
        elif count < current:
            self.downs.append((now, current - count))
        return count

    def _from_metric(self, demand: int, current: int) -> int:
        ratio = Fraction(demand) / (self.target * current)
        if abs(1 - ratio) <= TOLERANCE:
            return current
        return math.ceil(Fraction(demand) / self.target)

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
        "tolerance": float(TOLERANCE),
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


def _hpa(values: Path | None) -> tuple[dict[str, Any], Fraction]:
    spec = named(render("gadgetron", values), "HorizontalPodAutoscaler", "gt1-gadgetron-node")
    (metric,) = [each["object"] for each in spec["spec"]["metrics"] if each["type"] == "Object"]
    assert metric["metric"]["name"] == "elastron_demand"
    return spec["spec"], _quantity(metric["target"]["averageValue"])


def _scaled_object() -> tuple[dict[str, Any], Fraction]:
    """What KEDA makes of its object: an HPA with the trigger's target."""
    keda = named(render("gadgetron", EXAMPLES / "keda.yaml"), "ScaledObject", "gt1-gadgetron-node")
    spec = keda["spec"]
    trigger = spec["triggers"][0]
    assert trigger["metricType"] == "AverageValue"
    return {
        "minReplicas": spec["minReplicaCount"],
        "maxReplicas": spec["maxReplicaCount"],
        "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
    }, _quantity(trigger["metadata"]["targetValue"])


CASES = {
    "default": _hpa,
    "original-readme": lambda _: _hpa(EXAMPLES / "original-readme.yaml"),
    "keda": lambda _: _scaled_object(),
}


@pytest.mark.parametrize("case", sorted(CASES))
@settings(max_examples=60)
@given(data=st.data())
def test_the_objects_mean_what_the_policy_means(case: str, data: st.DataObject):
    spec, target = CASES[case](None)
    reference = Reference(spec, target)
    ours = _ours(spec["minReplicas"], spec["maxReplicas"], target, spec["behavior"])
    history = History()
    theirs = data.draw(st.integers(spec["minReplicas"], spec["maxReplicas"]))
    nodes, now = theirs, 1_000_000.0
    # A day's ups and downs: a demand holds for some minutes, then changes.
    for _ in range(data.draw(st.integers(1, 8))):
        demand = data.draw(st.integers(0, 2 * spec["maxReplicas"]))
        for _ in range(data.draw(st.integers(1, 40))):
            now += SYNC_S
            theirs = reference.step(demand, theirs, now)
            running = [
                Node(f"n{i}", "h:1", state=NodeState.READY, running=int(i < demand))
                for i in range(nodes)
            ]
            plan = desired(Demand(demand, 0), running, ours, history, now)
            history, nodes = plan.history, plan.desired
            assert nodes == theirs, (case, demand, plan.why)
