"""What kube-linter and its like ask of every object: with any values, of any chart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helm.harness import APIS, CHARTS, Object, of_kind, pod_of, render, values_files

CASES = [
    (chart.name, values)
    for chart in sorted(CHARTS.iterdir())
    for values in values_files(chart.name)
]
each_case = pytest.mark.parametrize(
    ("chart", "values"), CASES, ids=[f"{chart}-{values.stem}" for chart, values in CASES]
)

#: Node pods have what values give them: the original has no requests by default either.
SIZED_BY_VALUES = {"node", "gadgetron", "placeholder"}

#: What a volume may be; above all no path of the machine, and no secret through the API.
VOLUMES = {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "name"}


def _pods(objects: tuple[Object, ...]) -> Iterator[tuple[Object, dict[str, Any], dict[str, str]]]:
    """Workloads, their pods, and the labels of these."""
    for each in objects:
        pod = pod_of(each)
        if pod is None:
            continue
        spec = each["spec"]
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template", each)
        yield each, pod, template["metadata"]["labels"]


def _containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each, pod, _ in _pods(objects):
        for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
            yield f"{each['metadata']['name']}/{container['name']}", container


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions") or []
    )


@each_case
def test_memory_is_bounded_and_what_is_needed_is_asked_for(chart: str, values: Path):
    for name, container in _containers(render(chart, values)):
        if name.rpartition("/")[2] in SIZED_BY_VALUES:
            continue
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name


@each_case
def test_no_variable_is_set_twice_and_no_port_named_twice(chart: str, values: Path):
    for name, container in _containers(render(chart, values)):
        for field, key in (("env", "name"), ("ports", "name"), ("volumeMounts", "mountPath")):
            found = [each[key] for each in container.get(field) or []]
            assert len(set(found)) == len(found), (name, field)


@each_case
def test_probes_ask_a_port_of_the_pod(chart: str, values: Path):
    for each, pod, _ in _pods(render(chart, values)):
        ports = {
            key
            for container in pod["containers"]
            for port in container.get("ports") or []
            for key in (port.get("name"), port["containerPort"])
        }
        for container in pod["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for how in ("httpGet", "tcpSocket"):
                    if asked := container.get(probe, {}).get(how):
                        assert asked["port"] in ports, (each["metadata"]["name"], probe)


@each_case
def test_services_lead_to_ports_that_are_there(chart: str, values: Path):
    objects = render(chart, values)
    for service in of_kind(objects, "Service"):
        (pod,) = [
            pod
            for each, pod, labels in _pods(objects)
            if each["kind"] == "Deployment"
            and service["spec"]["selector"].items() <= labels.items()
        ]
        names = {
            key
            for container in pod["containers"]
            for port in container.get("ports") or []
            for key in (port.get("name"), port["containerPort"])
        }
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in names, service["metadata"]["name"]


@each_case
def test_nothing_of_the_machine_is_touched(chart: str, values: Path):
    for each, pod, _ in _pods(render(chart, values)):
        name = each["metadata"]["name"]
        for volume in pod.get("volumes") or []:
            assert set(volume) <= VOLUMES, (name, volume)
        assert not pod["securityContext"].get("sysctls"), name
        for container in pod["containers"]:
            assert not any("hostPort" in port for port in container.get("ports") or []), name
            assert not container["securityContext"].get("privileged"), name
            assert not container["securityContext"].get("procMount"), name


@each_case
def test_scratch_space_has_an_end(chart: str, values: Path):
    """A volume in memory, or one that a log or a journal fills, takes the machine down with it."""
    for each, pod, _ in _pods(render(chart, values)):
        for volume in pod.get("volumes") or []:
            if volume.get("emptyDir") is not None and volume["name"] != "tmp":
                assert volume["emptyDir"].get("sizeLimit"), (each["metadata"]["name"], volume)


@each_case
def test_rights_are_few_and_named(chart: str, values: Path):
    for role in of_kind(render(chart, values), "Role"):
        for rule in role["rules"]:
            for field in ("apiGroups", "resources", "verbs"):
                assert "*" not in rule[field], role["metadata"]["name"]
            assert not {"secrets", "pods/exec", "configmaps"} & set(rule["resources"])
            assert not {"delete", "escalate", "bind", "impersonate"} & set(rule["verbs"])
            if "pods" in rule["resources"]:
                assert "create" not in rule["verbs"]


@each_case
def test_no_pod_is_open_to_all(chart: str, values: Path):
    objects = render(chart, values)
    policies = of_kind(objects, "NetworkPolicy")
    for each, _, labels in _pods(objects):
        guarding = [
            policy for policy in policies if _selects(policy["spec"]["podSelector"], labels)
        ]
        assert any("Ingress" in policy["spec"]["policyTypes"] for policy in guarding), each[
            "metadata"
        ]["name"]


@each_case
def test_deployments_change_without_a_gap(chart: str, values: Path):
    for each in of_kind(render(chart, values), "Deployment"):
        name, spec = each["metadata"]["name"], each["spec"]
        assert (
            spec["selector"]["matchLabels"].items()
            <= spec["template"]["metadata"]["labels"].items()
        ), name
        if spec.get("strategy", {}).get("type") == "Recreate":
            assert spec["replicas"] == 1, name
        grace = spec["template"]["spec"].get("terminationGracePeriodSeconds")
        for container in spec["template"]["spec"]["containers"]:
            if (container.get("lifecycle") or {}).get("preStop"):
                assert grace is not None, name
                assert grace >= 10, name


@each_case
def test_budgets_let_a_machine_be_emptied(chart: str, values: Path):
    objects = render(chart, values)
    for budget in of_kind(objects, "PodDisruptionBudget"):
        spec = budget["spec"]
        assert spec.get("maxUnavailable", 1) != 0
        if "minAvailable" in spec:
            (replicas,) = [
                each["spec"].get("replicas", 1)
                for each, _, labels in _pods(objects)
                if spec["selector"]["matchLabels"].items() <= labels.items()
            ]
            assert spec["minAvailable"] < replicas, budget["metadata"]["name"]


@each_case
def test_scalers_scale_what_is_there(chart: str, values: Path):
    objects = render(chart, values, apis=APIS)
    deployments = {each["metadata"]["name"]: each for each in of_kind(objects, "Deployment")}
    for each in objects:
        if each["kind"] not in ("HorizontalPodAutoscaler", "ScaledObject"):
            continue
        spec = each["spec"]
        target = deployments[spec["scaleTargetRef"]["name"]]
        # Two that set the same number fight.
        assert "replicas" not in target["spec"], each["metadata"]["name"]
        least = spec.get("minReplicas", spec.get("minReplicaCount"))
        most = spec.get("maxReplicas", spec.get("maxReplicaCount"))
        assert 0 <= least <= most
        if each["kind"] == "ScaledObject":
            # What KEDA's admission refuses.
            assert "idleReplicaCount" not in spec or spec["idleReplicaCount"] < least
            assert all(trigger["metricType"] != "Value" for trigger in spec["triggers"][:1])
            assert spec["fallback"]["replicas"] <= most


@each_case
def test_jobs_end_and_vanish(chart: str, values: Path):
    objects = render(chart, values)
    jobs = [each["spec"]["jobTemplate"]["spec"] for each in of_kind(objects, "CronJob")]
    jobs += [each["spec"] for each in of_kind(objects, "Job")]
    for job in jobs:
        assert job["activeDeadlineSeconds"] > 0
        assert job["ttlSecondsAfterFinished"] >= 0
        assert job["template"]["spec"]["restartPolicy"] in ("Never", "OnFailure")


@each_case
def test_everything_says_whose_it_is(chart: str, values: Path):
    for each in render(chart, values):
        labels = each["metadata"]["labels"]
        for label in ("name", "instance", "version", "managed-by", "component"):
            if f"app.kubernetes.io/{label}" not in labels:
                assert label == "component", (each["metadata"]["name"], label)
        assert "helm.sh/chart" in labels
