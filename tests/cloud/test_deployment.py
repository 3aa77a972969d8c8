"""A release onto a cluster that remembers: looked at, installed, changed, refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from elastron.cloud import deployment as deployment_module
from elastron.cloud.checks import Result
from elastron.cloud.deployment import Plan, Wish, carry_out, prepare
from elastron.cloud.diff import Change
from elastron.cloud.helm import Helm, Release
from elastron.cloud.kubectl import Kubectl
from elastron.cloud.release import find_fleet
from elastron.errors import ConfigError, RemoteError
from tests.cloud.api_world import KEDA, MONITORING, World
from tests.cloud.conftest import NAMESPACE
from tests.helm.harness import CHARTS

MINIMAL = CHARTS / "gadgetron/values-minimal.yaml"
WISH = Wish("gt1", NAMESPACE, values=(MINIMAL,), wait_s=60)


def failures(plan: Plan) -> str:
    return "\n".join(each.what for each in plan.findings if each.result is Result.FAIL)


def test_a_fleet_is_installed_and_changed(helm: Helm, kubectl: Kubectl, world: World, monkeypatch):
    monkeypatch.setattr(deployment_module, "LOOK_S", 0.2)
    plan = prepare(helm, kubectl, WISH)
    assert plan.possible, failures(plan)
    assert plan.cluster == "v1.34.2"
    assert plan.installed is None
    assert {each.change for each in plan.differences} == {Change.CREATE}
    assert ("deployments", NAMESPACE, "gt1-gadgetron-node") not in world.objects

    looks: list[Mapping[str, tuple[int, int]]] = []
    done = carry_out(helm, kubectl, plan, lambda counts, _problems: looks.append(counts))
    assert (done.revision, done.status) == (1, "deployed")
    assert looks
    assert looks[-1]["gt1-gadgetron-node"] == (1, 1)
    fleet = find_fleet(kubectl, "gt1")
    assert (fleet.service, fleet.port) == ("gt1-gadgetron", 9002)
    assert (fleet.admin, fleet.admin_port) == ("gt1-gadgetron-metrics", 8090)
    assert [(pool.name, pool.wanted, pool.ready) for pool in fleet.pools] == [("default", 1, 1)]

    more = Wish("gt1", NAMESPACE, values=(MINIMAL, {"replicaCount": 3}), wait_s=None)
    plan = prepare(helm, kubectl, more)
    assert plan.installed is not None
    assert plan.installed.revision == 1
    assert [each.key.name for each in plan.differences] == ["gt1-gadgetron-node"]
    assert carry_out(helm, kubectl, plan).revision == 2
    assert world.named("deployments", "gt1-gadgetron-node")["spec"]["replicas"] == 3


def test_values_that_do_not_fit_are_told_before_the_cluster_is_asked(
    helm: Helm, kubectl: Kubectl, world: World
):
    with pytest.raises(ConfigError, match="replicaCont"):
        prepare(helm, kubectl, Wish("gt1", NAMESPACE, values=({"replicaCont": 2},)))
    assert world.requests == []


def test_a_cluster_that_does_not_answer(helm: Helm, kubectl: Kubectl, world: World):
    world.broken = True
    plan = prepare(helm, kubectl, WISH)
    assert not plan.possible
    assert "does not answer" in failures(plan)
    assert plan.cluster == ""
    assert plan.differences == ()


def test_what_lacks_is_found(helm: Helm, kubectl: Kubectl, world: World):
    """Rights, kinds, secrets, storage; and a namespace that is not there."""
    world.denied = {"create roles", "delete secrets", "create namespaces"}
    del world.objects["storageclasses", "", "standard"]
    values = {
        "autoscaling": {"provider": "keda"},
        "controller": {"enabled": True},
        "imagePullSecrets": [{"name": "mirror"}],
    }
    plan = prepare(helm, kubectl, Wish("gt1", "elsewhere", values=(MINIMAL, values)))
    said = failures(plan)
    assert "create roles.rbac.authorization.k8s.io" in said
    assert "delete secrets" in said
    assert "create namespaces" in said
    assert "KEDA" in said
    assert "no secret mirror" in said
    assert "no default storage class" in said


def test_what_is_there_is_found(helm: Helm, kubectl: Kubectl, world: World):
    world.kinds += [KEDA, *MONITORING]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mirror"}}
    secret["metadata"] |= {"namespace": NAMESPACE}
    world.put(secret)
    values = {
        "autoscaling": {"provider": "keda"},
        "controller": {"enabled": True},
        "serviceMonitor": {"enabled": "auto"},
        "imagePullSecrets": [{"name": "mirror"}],
    }
    plan = prepare(helm, kubectl, Wish("gt1", NAMESPACE, values=(MINIMAL, values)))
    assert plan.possible, failures(plan)
    kinds = {each.key.kind for each in plan.differences}
    assert {"ScaledObject", "ServiceMonitor"} <= kinds


def test_what_the_cluster_would_refuse(helm: Helm, kubectl: Kubectl, world: World):
    world.refused["gt1-gadgetron-node"] = "exceeded quota"
    plan = prepare(helm, kubectl, WISH)
    assert "exceeded quota" in failures(plan)


def test_a_release_that_another_helm_left_halfway(helm: Helm, kubectl: Kubectl, monkeypatch):
    halfway = Release("gt1", NAMESPACE, 1, "pending-upgrade")
    monkeypatch.setattr(helm, "status", lambda *_: halfway)
    plan = prepare(helm, kubectl, WISH)
    (finding,) = [each for each in plan.findings if each.result is Result.FAIL]
    assert "pending-upgrade" in finding.what
    assert "helm rollback gt1 -n imaging" in finding.todo


def test_a_release_that_failed_is_gone_on_with(helm: Helm, kubectl: Kubectl, monkeypatch):
    failed = Release("gt1", NAMESPACE, 3, "failed")
    monkeypatch.setattr(helm, "status", lambda *_: failed)
    plan = prepare(helm, kubectl, WISH)
    assert plan.possible
    assert any("revision 3 failed" in each.what for each in plan.findings)


def test_pods_that_do_not_come_up_are_named(helm: Helm, kubectl: Kubectl, world: World):
    def stuck(world: World, each: dict) -> None:
        if each["kind"] != "Deployment":
            return
        labels = each["spec"]["template"]["metadata"]["labels"]
        waiting = {"reason": "ImagePullBackOff", "message": "pulling i: lookup: no such host"}
        status = {
            "containerStatuses": [{"image": "i", "state": {"waiting": waiting}}],
            "conditions": [{"type": "Ready", "status": "False"}],
        }
        meta = {"name": each["metadata"]["name"] + "-x", "namespace": NAMESPACE, "labels": labels}
        world.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status})

    world.react = stuck
    wish = Wish("gt1", NAMESPACE, values=(MINIMAL,), wait_s=1)
    hasty = Plan(wish, CHARTS / "gadgetron", "v1.34.2", (), None, ())
    with pytest.raises(RemoteError) as caught:
        carry_out(helm, kubectl, hasty)
    said = str(caught.value)
    assert "gt1-gadgetron-node: 0 of 1 pods are ready" in said
    assert "gt1-gadgetron-node-x: cannot get image i: no such host" in said


def test_no_such_fleet(kubectl: Kubectl):
    with pytest.raises(ConfigError, match="There is no fleet absent"):
        find_fleet(kubectl, "absent")
