"""The pod security standards, on the charts and on what breaks them."""

from __future__ import annotations

from typing import Any

import pytest

from elastron.cloud.manifest import pod_spec
from elastron.cloud.pod_security import violations
from tests.helm.harness import CHARTS, render

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
}


@pytest.mark.parametrize("chart", ["gadgetron", "stunnel", "iperf3"])
def test_the_charts_keep_to_the_strictest_level(chart):
    checked = 0
    for each in render(chart):
        if (spec := pod_spec(each)) is not None:
            assert violations(spec, restricted=True) == [], each["metadata"]["name"]
            checked += 1
    assert checked


def test_with_everything_on_too():
    for each in render("gadgetron", CHARTS / "gadgetron/examples/everything.yaml"):
        if (spec := pod_spec(each)) is not None:
            assert violations(spec, restricted=True) == [], each["metadata"]["name"]


@pytest.mark.parametrize(
    ("pod", "container", "words"),
    [
        ({"hostNetwork": True}, {}, "hostNetwork"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, "volume v is of the host"),
        ({}, {"ports": [{"hostPort": 80}]}, "takes a port of the host"),
        ({}, {"securityContext": {"privileged": True}}, "is privileged"),
        ({}, {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}, "adds capabilities"),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            {},
            "has no seccomp profile",
        ),
    ],
)
def test_what_baseline_forbids(pod, container, words):
    spec = {"containers": [{"name": "c", **container}], **pod}
    assert any(words in each for each in violations(spec, restricted=False))
    assert any(words in each for each in violations(spec, restricted=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"allowPrivilegeEscalation": True}, "allows privilege escalation"),
        ({"capabilities": {}}, "keeps capabilities"),
        ({"runAsNonRoot": False}, "may run as root"),
        ({"runAsUser": 0}, "runs as root"),
        ({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}, "adds capabilities"),
    ],
)
def test_what_restricted_forbids_besides(change, words):
    context = GOOD["containers"][0]["securityContext"] | change
    spec = GOOD | {"containers": [{"name": "c", "securityContext": context}]}
    assert any(words in each for each in violations(spec, restricted=True))
    assert violations(spec, restricted=False) == []


def test_good_pods_are_let_in():
    assert violations(GOOD, restricted=True) == []
    nfs = GOOD | {"volumes": [{"name": "v", "nfs": {}}]}
    assert violations(nfs, restricted=True) == ["volume v is of a forbidden kind"]
    assert violations({"containers": [{"name": "c"}]}, restricted=False) == []
