"""What holds for every object that any chart renders with any of its values files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helm.harness import APIS, CHARTS, Object, helm, of_kind, pod_of, render, values_files
from tests.helm.schemas import VERSIONS, custom_kinds, validate

CASES = [
    (chart.name, values)
    for chart in sorted(CHARTS.iterdir())
    for values in values_files(chart.name)
]
IDS = [f"{chart}-{values.stem}" for chart, values in CASES]
each_case = pytest.mark.parametrize(("chart", "values"), CASES, ids=IDS)

#: Roles, not cluster roles; nothing that needs rights over the whole cluster.
KINDS = {
    *("ConfigMap", "CronJob", "Deployment", "HorizontalPodAutoscaler", "Job", "NetworkPolicy"),
    *("PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Role", "RoleBinding", "ScaledObject"),
    *("Service", "ServiceAccount", "ServiceMonitor", "PrometheusRule", "TriggerAuthentication"),
}

#: Of the whole cluster, and made only where values ask for it.
OF_THE_CLUSTER = {"PriorityClass"}


@pytest.mark.parametrize("version", ["helm3", "helm4"])
@pytest.mark.parametrize("chart", sorted({chart for chart, _ in CASES}))
def test_lint(chart: str, version: str):
    done = helm("lint", "--strict", str(CHARTS / chart), version=version)
    assert done.returncode == 0, done.stdout + done.stderr


@each_case
def test_both_helms_render_the_same(chart: str, values: Path):
    assert render(chart, values, version="helm3") == render(chart, values, version="helm4")


@each_case
@pytest.mark.parametrize("version", VERSIONS)
def test_objects_follow_the_published_schemas(chart: str, values: Path, version: str):
    for each in render(chart, values):
        validate(each, version)


def test_a_wrong_object_is_found():
    (first, *_) = [each for each in render("iperf3") if each["kind"] == "Service"]
    wrong = {**first, "spec": {**first["spec"], "prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong, VERSIONS[-1])


@pytest.mark.parametrize("kind", sorted(custom_kinds()))
def test_custom_objects_are_rendered_and_a_wrong_one_is_found(kind: str):
    found = [
        each for chart, values in CASES for each in of_kind(render(chart, values, apis=APIS), kind)
    ]
    assert found
    for each in found:
        validate(each, VERSIONS[-1])
    for wrong in ({"scaleTagetRef": {}}, {"grups": []}):
        with pytest.raises(jsonschema.ValidationError):
            validate({**found[0], "spec": {**found[0]["spec"], **wrong}}, VERSIONS[-1])


@each_case
def test_only_what_a_namespace_may_have(chart: str, values: Path):
    for each in render(chart, values):
        asked = each["kind"] in OF_THE_CLUSTER and "create" in values.read_text()
        assert each["kind"] in KINDS or asked, each["metadata"]["name"]
        assert "latest" not in yaml.safe_dump(each.get("spec", {})).split(":")


@each_case
def test_names_are_unique_and_short(chart: str, values: Path):
    names = [(each["kind"], each["metadata"]["name"]) for each in render(chart, values)]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 for _, name in names)


@each_case
def test_pods_are_restricted(chart: str, values: Path):
    for name, pod, container in _containers(chart, values):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"]["drop"] == ["ALL"], name
        if container["name"] != "gadgetron":
            assert context["readOnlyRootFilesystem"] is True, name
        assert not any(key in pod for key in ("hostNetwork", "hostPID", "hostIPC")), name


@each_case
def test_pods_have_an_account_and_a_token_only_where_needed(chart: str, values: Path):
    objects = render(chart, values)
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    bound = {
        subject["name"]
        for each in objects
        if each["kind"] == "RoleBinding"
        for subject in each["subjects"]
    }
    for name, pod, _ in _containers(chart, values):
        assert pod["serviceAccountName"] in accounts, name
        assert pod["automountServiceAccountToken"] is (pod["serviceAccountName"] in bound), name


@each_case
def test_containers_have_probes_and_resources(chart: str, values: Path):
    for name, _, container in _containers(chart, values):
        assert "image" in container, name
        assert ":" in container["image"], f"{name}: an image without version"
        assert "requests" in container["resources"] or "node" in name, name
        if container.get("ports"):
            assert {"readinessProbe", "livenessProbe"} <= set(container), name


@each_case
def test_secrets_come_as_files(chart: str, values: Path):
    for name, _, container in _containers(chart, values):
        for variable in container.get("env") or []:
            assert "secretKeyRef" not in variable.get("valueFrom", {}), name


@each_case
def test_selectors_find_their_pods(chart: str, values: Path):
    objects = render(chart, values)
    pods = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if each["kind"] == "Deployment"
    ]
    for each in objects:
        if each["kind"] == "Service":
            selector = each["spec"]["selector"]
        elif each["kind"] == "PodDisruptionBudget":
            selector = each["spec"]["selector"]["matchLabels"]
        else:
            continue
        found = [labels for labels in pods if selector.items() <= labels.items()]
        assert len(found) == 1, each["metadata"]["name"]


@each_case
def test_volumes_and_mounts_fit(chart: str, values: Path):
    objects = render(chart, values)
    claims = {
        each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"
    }
    maps = {each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"}
    for name, pod, container in _containers(chart, values):
        volumes = {volume["name"]: volume for volume in pod.get("volumes") or []}
        for mount in container.get("volumeMounts") or []:
            assert mount["name"] in volumes, name
        for volume in volumes.values():
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, name
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, name


def _containers(chart: str, values: Path) -> list[tuple[str, Any, Object]]:
    return [
        (f"{each['metadata']['name']}/{container['name']}", pod, container)
        for each in render(chart, values)
        if (pod := pod_of(each)) is not None
        for container in [*(pod.get("initContainers") or []), *pod["containers"]]
    ]
