"""What rendered objects ask of a cluster, on the real chart."""

from __future__ import annotations

import pytest
import yaml

from elastron.cloud.manifest import Key, key_of, needs, objects_of, pod_spec
from elastron.errors import ConfigError
from tests.helm.harness import CHARTS, render

EXAMPLES = CHARTS / "gadgetron" / "examples"


def test_the_fleet_with_everything_on():
    found = needs(render("gadgetron", EXAMPLES / "everything.yaml"))
    assert {each.name for each in found.volumes} >= {"gt1-gadgetron-data"}
    assert found.volumes[0].access_modes == ("ReadWriteMany",)
    assert found.metric_apis == {"custom.metrics.k8s.io"}
    assert found.metrics == {"gadgetron_activity", "elastron_demand"}
    assert ("monitoring.coreos.com/v1", "ServiceMonitor") in found.kinds
    assert "storage-database" in found.secrets
    assert any(image.startswith("ghcr.io/") or "elastron" in image for image, _ in found.images)
    assert "nvidia" in found.runtime_classes
    gpus = [w for w in found.workloads if w.requests("nvidia.com/gpu")]
    assert gpus
    assert gpus[0].requests("cpu") == "" or gpus[0].requests("cpu")


def test_keda_asks_for_external_metrics():
    found = needs(render("gadgetron", EXAMPLES / "keda.yaml"))
    assert "external.metrics.k8s.io" in found.metric_apis


def test_the_smallest_asks_for_little():
    found = needs(render("gadgetron", CHARTS / "gadgetron/values-minimal.yaml"))
    assert found.metric_apis == frozenset()
    assert found.secrets == {}
    assert found.load_balancers == ()


def test_secrets_that_are_optional_or_made_here_need_not_be_there():
    container = {
        "name": "c",
        "image": "i",
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}},
            {
                "name": "B",
                "valueFrom": {"secretKeyRef": {"name": "two", "key": "k", "optional": True}},
            },
        ],
        "envFrom": [{"secretRef": {"name": "three"}}, {"configMapRef": {"name": "x"}}],
    }
    spec = {
        "containers": [container],
        "imagePullSecrets": [{"name": "four"}],
        "volumes": [{"name": "v", "secret": {"secretName": "five"}}, {"name": "w", "emptyDir": {}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "five"}}
    assert set(needs([pod, made]).secrets) == {"one", "three", "four"}


def test_every_workload_of_the_charts_has_its_pod_found():
    for each in render("gadgetron", EXAMPLES / "everything.yaml"):
        spec = pod_spec(each)
        assert (spec is not None) == ("containers:" in yaml.safe_dump(each)), each["kind"]


def test_keys():
    (found,) = objects_of("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n---\n")
    assert key_of(found) == Key("Deployment", "a", "apps")
    assert str(key_of(found)) == "Deployment a"
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "namespace": "n"}}
    assert str(key_of(other)) == "Secret b in n"


@pytest.mark.parametrize("text", ["a: [", "just words", "- 1", "kind: Pod"])
def test_what_is_no_manifest(text):
    with pytest.raises(ConfigError):
        objects_of(text)
