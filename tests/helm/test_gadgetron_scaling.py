"""How the fleet's chart has pools grow and shrink: by HPA, KEDA, controller or clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.harness import CHARTS, named, of_kind, refusal, render

CHART = "gadgetron"
EXAMPLES = CHARTS / CHART / "examples"
README = EXAMPLES / "original-readme.yaml"
KEDA = EXAMPLES / "keda.yaml"


def _scaled(values: Path | None = KEDA, **settings: str) -> dict[str, Any]:
    given = tuple(f"{name.replace('__', '.')}={value}" for name, value in settings.items())
    objects = render(CHART, values, settings=given)
    return named(objects, "ScaledObject", "gt1-gadgetron-node")["spec"]


def test_keda_means_what_the_hpa_means():
    assert not of_kind(render(CHART, KEDA), "HorizontalPodAutoscaler")
    spec = _scaled()
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, 12)
    assert spec["idleReplicaCount"] == 0
    demand, cron = spec["triggers"]
    assert demand["metadata"]["targetValue"] == "0.5"
    assert cron["metadata"]["timezone"] == "Europe/Berlin"
    assert cron["metadata"]["desiredReplicas"] == "5"
    hpa = named(
        render(CHART, settings=("hpa.maxReplicas=12",)),
        "HorizontalPodAutoscaler",
        "gt1-gadgetron-node",
    )
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["spec"]["behavior"]


def test_without_figures_keda_holds_the_fleet():
    """As `fleet.scaling` does; a KEDA that does not know that word goes to half of the most."""
    assert _scaled()["fallback"] == {
        "failureThreshold": 3,
        "replicas": 6,
        "behavior": "currentReplicas",
    }
    # KEDA replaces the figures of such triggers only.
    assert _scaled()["triggers"][0]["metricType"] == "AverageValue"


def test_keda_finds_demand_where_no_node_tells_it():
    keda = _scaled(EXAMPLES / "everything-keda.yaml")
    trigger = keda["triggers"][0]
    assert trigger["metadata"]["query"].startswith("(sum(max by (pod) (gadgetron_activity{")
    assert "or vector(0))" in trigger["metadata"]["query"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metadata"]["authModes"] == "bearer"
    authentication = named(
        render(CHART, EXAMPLES / "everything-keda.yaml"),
        "TriggerAuthentication",
        trigger["authenticationRef"]["name"],
    )
    assert authentication["spec"] == {"podIdentity": {"provider": "azure-workload"}}


@pytest.mark.parametrize(
    ("least", "idle", "rendered"),
    [("2", "0", 0), ("0", "0", None), ("1", "1", None), ("3", "1", 1), ("1", "null", None)],
)
def test_keda_gets_no_idle_number_that_it_refuses(least: str, idle: str, rendered: int | None):
    spec = _scaled(
        None,
        autoscaling__provider="keda",
        hpa__minReplicas=least,
        autoscaling__keda__idleReplicas=idle,
    )
    assert spec.get("idleReplicaCount") == rendered
    assert spec["minReplicaCount"] == int(least)


def test_a_schedule_may_say_less_by_day():
    rules = {
        "hpa__schedule__up__schedule": "0 7 * * *",
        "hpa__schedule__up__minReplicas": "1",
        "hpa__schedule__down__schedule": "0 18 * * *",
        "hpa__schedule__down__minReplicas": "4",
    }
    spec = _scaled(None, autoscaling__provider="keda", **rules)
    assert spec["minReplicaCount"] == 1
    assert spec["triggers"][1]["metadata"] == {
        "timezone": "Etc/UTC",
        "start": "0 18 * * *",
        "end": "0 7 * * *",
        "desiredReplicas": "4",
    }


def test_an_hpa_that_a_cluster_refuses_is_not_rendered():
    for setting in (
        "hpa.minReplicas=0",
        "pools[0].name=gpu,pools[0].hpa.minReplicas=0",
        "hpa.schedule.up.schedule=0 7 * * *,hpa.schedule.up.minReplicas=2,"
        "hpa.schedule.down.schedule=0 18 * * *,hpa.schedule.down.minReplicas=0",
    ):
        assert "HPAScaleToZero" in refusal(CHART, setting)
        settings = (setting, "autoscaling.hpaScaleToZero=true")
        assert of_kind(render(CHART, settings=settings), "HorizontalPodAutoscaler")


def test_a_tolerance_is_told_to_clusters_that_know_it():
    for version, known in (("1.37.0", True), ("1.33.4", True), ("1.32.9", False)):
        hpa = named(
            render(CHART, kubernetes=version), "HorizontalPodAutoscaler", "gt1-gadgetron-node"
        )
        behaviour = hpa["spec"]["behavior"]
        assert ("tolerance" in behaviour["scaleUp"]) is known
        if known:
            assert (behaviour["scaleUp"]["tolerance"], behaviour["scaleDown"]["tolerance"]) == (
                "0",
                "100m",
            )


def test_what_costs_machines_is_asked_for_by_each_pool():
    settings = (
        *("placeholders.replicas=2", "placeholders.createPriorityClass=true"),
        *("pools[0].name=gpu", "pools[0].hpa.maxReplicas=3"),
    )
    objects = render(CHART, README, settings=settings)
    names = {each["metadata"]["name"] for each in of_kind(objects, "Deployment")}
    assert "gt1-gadgetron-node-placeholder" in names
    assert "gt1-gadgetron-node-gpu-placeholder" not in names
    (text,) = [
        each["data"]["controller.yaml"]
        for each in of_kind(objects, "ConfigMap")
        if "controller.yaml" in each["data"]
    ]
    default, gpu = yaml.safe_load(text)["controller"]["pools"]
    assert "schedule" in default
    assert "schedule" not in gpu


def test_the_schedule_is_the_controllers_or_a_cronjobs():
    by_cronjob = render(CHART, EXAMPLES / "everything.yaml")
    jobs = {each["metadata"]["name"]: each["spec"] for each in of_kind(by_cronjob, "CronJob")}
    assert len(jobs) == 4
    up = jobs["gt1-gadgetron-node-up"]
    assert (up["schedule"], up["timeZone"]) == ("0 7 * * 1-5", "Etc/UTC")
    (container,) = up["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["controller", "set-minimum", "gt1-gadgetron-node", "5"]
    (role,) = [
        each
        for each in of_kind(by_cronjob, "Role")
        if each["metadata"]["name"] == "gt1-gadgetron-schedule"
    ]
    assert [rule["verbs"] for rule in role["rules"]] == [["get", "patch"]]
    by_controller = render(CHART, README)
    assert not of_kind(by_controller, "CronJob")
