"""Whether a cluster can take a deployment, judged by what is known of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from elastron.cloud.checks import Finding, Result, judge
from elastron.cloud.facts import Facts, Machine, StorageClass
from elastron.cloud.kubectl import Versions
from elastron.cloud.manifest import Needs, Volume, Workload

VERSIONS = Versions(client=(1, 34), server=(1, 34), server_text="v1.34.2")
MACHINE = Machine(
    name="m",
    labels={"agentpool": "cpu"},
    taints=(),
    allocatable={"cpu": "7800m", "memory": "30Gi"},
    images=frozenset({"ghcr.io/elastron/elastron:1"}),
    ready=True,
)
GPU = replace(
    MACHINE,
    name="g",
    labels={"agentpool": "gpu"},
    taints=({"key": "sku", "value": "gpu", "effect": "NoSchedule"},),
    allocatable={"cpu": "6", "memory": "100Gi", "nvidia.com/gpu": "1"},
)
GOOD = Facts(
    versions=VERSIONS,
    namespace="imaging",
    namespace_labels={},
    apis=frozenset({"v1", "custom.metrics.k8s.io/v1beta1"}),
    kinds=frozenset({("v1", "Service")}),
    storage_classes=(StorageClass("standard", "file.csi.azure.com", default=True),),
    machines=(MACHINE,),
    secrets=frozenset(),
    priority_classes=frozenset(),
    runtime_classes=frozenset(),
    refusals=(),
)
SHARED = Volume("data", None, ("ReadWriteMany",))


def bad(facts: Facts, needs: Needs | None = None) -> list[Finding]:
    """What is not well."""
    found = judge(facts, needs or Needs())
    assert all(each.todo for each in found if each.result is not Result.OK)
    return [each for each in found if each.result is not Result.OK]


def one(facts: Facts, needs: Needs | None = None) -> Finding:
    (found,) = bad(facts, needs)
    return found


def workload(**spec: Any) -> Workload:
    resources = spec.pop("resources", {})
    return Workload(
        "w", {"containers": [{"name": "c", "image": "i", "resources": resources}], **spec}
    )


def test_a_good_cluster():
    volumes = (SHARED,)
    needs = Needs(
        kinds=frozenset({("v1", "Service")}),
        volumes=volumes,
        workloads=(workload(resources={"requests": {"cpu": "2", "memory": "1Gi"}}),),
        metric_apis=frozenset({"custom.metrics.k8s.io"}),
    )
    assert bad(GOOD, needs) == []
    assert all(each.what for each in judge(GOOD, needs))


def test_one_that_does_not_answer():
    found = one(replace(GOOD, problem="connection refused"))
    assert found.result is Result.FAIL
    assert "connection refused" in found.what


@pytest.mark.parametrize(
    ("server", "client", "result"),
    [
        ((1, 26), (1, 26), Result.FAIL),
        ((1, 27), (1, 27), None),
        ((1, 34), (1, 33), None),
        ((1, 34), (1, 31), Result.WARN),
    ],
)
def test_versions(server, client, result):
    versions = Versions(client=client, server=server, server_text="v")
    found = bad(replace(GOOD, versions=versions))
    assert [each.result for each in found] == ([] if result is None else [result])


def test_rights():
    found = one(replace(GOOD, denied=("create secrets", "patch roles.rbac.authorization.k8s.io")))
    assert found.result is Result.FAIL
    assert "create secrets" in found.what
    assert any(
        "may create it" in each.what
        for each in judge(replace(GOOD, namespace_labels=None), Needs())
    )


def test_kinds_that_something_must_bring():
    needs = Needs(
        kinds=frozenset({("keda.sh/v1alpha1", "ScaledObject"), ("x.example/v1", "Thing")})
    )
    keda, other = bad(GOOD, needs)
    assert "KEDA" in keda.what
    assert "autoscaling.provider=hpa" in keda.todo
    assert "Thing" in other.what
    known = replace(GOOD, kinds=frozenset(needs.kinds))
    assert bad(known, needs) == []


@pytest.mark.parametrize(
    ("classes", "volume", "result", "words"),
    [
        ((), SHARED, Result.FAIL, "no default storage class"),
        ((("disk", "disk.csi.azure.com", True),), SHARED, Result.FAIL, "ReadWriteMany"),
        ((("disk", "disk.csi.azure.com", True),), Volume("v", None, ("ReadWriteOnce",)), None, ""),
        ((("local", "rancher.io/local-path", True),), SHARED, Result.FAIL, "cannot"),
        ((("a", "x", False),), SHARED, Result.FAIL, "no default"),
        ((("a", "x", False),), Volume("v", "a", ("ReadWriteMany",)), None, ""),
        ((("a", "x", True),), Volume("v", "b", ("ReadWriteMany",)), Result.FAIL, "class b"),
        (None, SHARED, Result.WARN, "may not be asked"),
    ],
)
def test_storage(classes, volume, result, words):
    made = None if classes is None else tuple(StorageClass(*each) for each in classes)
    found = bad(replace(GOOD, storage_classes=made), Needs(volumes=(volume,)))
    assert [each.result for each in found] == ([] if result is None else [result])
    assert all(words in each.what for each in found)


def test_a_volume_that_is_bound_needs_no_class():
    facts = replace(GOOD, storage_classes=(), claims={"data": "Bound"})
    assert bad(facts, Needs(volumes=(SHARED,))) == []
    pending = replace(facts, claims={"data": "Pending"})
    assert one(pending, Needs(volumes=(SHARED,))).result is Result.FAIL


@pytest.mark.parametrize(
    "group", ["custom.metrics.k8s.io", "metrics.k8s.io", "external.metrics.k8s.io"]
)
def test_autoscalers_without_figures(group):
    facts = replace(GOOD, apis=frozenset({"v1"}))
    found = one(facts, Needs(metric_apis=frozenset({group})))
    assert found.result is Result.WARN
    assert "autoscaling stands" in found.what


def test_a_metric_that_nobody_makes():
    rules = ("monitoring.coreos.com/v1", "PrometheusRule")
    facts = replace(GOOD, kinds=frozenset({rules}))
    alone = Needs(metrics=frozenset({"gadgetron_activity", "elastron_demand"}))
    assert "never shrinks" in one(facts, alone).what
    assert bad(facts, replace(alone, kinds=frozenset({rules}))) == []
    assert bad(facts, Needs(metrics=frozenset({"gadgetron_activity"}))) == []


GPU_POOL = {"resources": {"limits": {"nvidia.com/gpu": 1}}, "nodeSelector": {"agentpool": "gpu"}}
TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("machines", "spec", "words"),
    [
        ((MACHINE,), {"resources": {"requests": {"cpu": "8"}}}, "more than any machine"),
        ((MACHINE,), {"resources": {"requests": {"memory": "31Gi"}}}, "more than any machine"),
        ((MACHINE,), GPU_POOL, "no machine with agentpool=gpu"),
        ((MACHINE, GPU), GPU_POOL, "taint sku"),
        ((MACHINE, GPU), GPU_POOL | {"tolerations": [TOLERATION]}, None),
        ((MACHINE, GPU), GPU_POOL | {"tolerations": [{"operator": "Exists"}]}, None),
        (
            (MACHINE, GPU),
            GPU_POOL | {"tolerations": [TOLERATION | {"value": "other"}]},
            "taint sku",
        ),
        (
            (replace(GPU, allocatable={"cpu": "6", "memory": "9Gi"}),),
            GPU_POOL | {"tolerations": [TOLERATION]},
            "no machine offers nvidia.com/gpu",
        ),
        ((replace(MACHINE, ready=False),), {}, "no machine of the cluster takes pods"),
        (None, {}, "may not be asked"),
    ],
)
def test_machines(machines, spec, words):
    found = bad(replace(GOOD, machines=machines), Needs(workloads=(workload(**spec),)))
    if words is None:
        assert found == []
    else:
        assert [each.result for each in found] == [Result.WARN]
        assert words in found[0].what


def test_images_that_may_not_be_pulled_must_be_there():
    needs = Needs(images=frozenset({("elastron/elastron:1", "Never"), ("other:2", "Never")}))
    found = one(GOOD, needs)
    assert found.result is Result.FAIL
    assert "other:2" in found.what
    pulled = Needs(images=frozenset({("other:2", "IfNotPresent")}))
    assert any("to be pulled" in each.what for each in judge(GOOD, pulled))


@pytest.mark.parametrize(
    ("level", "count"), [("restricted", 1), ("baseline", 0), ("privileged", 0)]
)
def test_the_namespaces_pod_security_level(level, count):
    facts = replace(GOOD, namespace_labels={"pod-security.kubernetes.io/enforce": level})
    assert len(bad(facts, Needs(workloads=(workload(),)))) == count


def test_secrets_and_classes_that_are_named():
    needs = Needs(
        secrets={"keys": "gateway"},
        priority_classes=frozenset({"low", "system-node-critical"}),
        runtime_classes=frozenset({"nvidia"}),
    )
    assert len(bad(GOOD, needs)) == 3
    there = replace(
        GOOD,
        secrets=frozenset({"keys"}),
        priority_classes=frozenset({"low"}),
        runtime_classes=frozenset({"nvidia"}),
    )
    assert bad(there, needs) == []
    unknown = replace(GOOD, secrets=None, priority_classes=None, runtime_classes=None)
    assert bad(unknown, needs) == []


def test_what_the_cluster_says_to_a_trial():
    refusals = ("Warning: old", *(f"Error {i}" for i in range(9)))
    found = one(replace(GOOD, refusals=refusals))
    assert found.result is Result.FAIL
    assert "Error 0" in found.what
    assert "and 3 more" in found.what
    assert bad(replace(GOOD, refusals=("Warning: old",))) == []
    assert bad(replace(GOOD, refusals=None)) == []
