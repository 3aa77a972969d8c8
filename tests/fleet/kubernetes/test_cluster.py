"""The API client against a server that remembers, forgets, refuses and is overloaded."""

from __future__ import annotations

import asyncio
from typing import Any

import kmock as kmock_package  # the fixture has its name
import pytest

from elastron.errors import ConnectError, RemoteError
from elastron.fleet.kubernetes.cluster import Cluster, ConflictError
from elastron.fleet.kubernetes.upkeep import DELETION_COST
from tests.fleet.kubernetes.conftest import LEASES, NAMESPACE, PODS, SCALERS, SLICES, pod


async def test_pods_are_listed_and_annotated(cluster: Cluster, kmock: Any):
    kmock.objects[PODS, NAMESPACE, "a"] = pod("a", "10.0.0.1", pool="gpu")
    gone = pod("b", "10.0.0.2")
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    kmock.objects[PODS, NAMESPACE, "b"] = gone
    found = {each.name: each for each in await cluster.pods("elastron.dev/role=node")}
    assert found["a"].running
    assert found["a"].pool == "gpu"
    assert not found["b"].running
    await cluster.annotate("a", {DELETION_COST: "10"})
    (first, *_) = [each for each in await cluster.pods("x=y") if each.name == "a"]
    assert first.annotations[DELETION_COST] == "10"


async def test_a_pod_that_is_gone_is_no_error(cluster: Cluster):
    await cluster.annotate("gone", {DELETION_COST: "0"})


async def test_minimums(cluster: Cluster, kmock: Any):
    kmock.objects[SCALERS, NAMESPACE, "nodes"] = {
        "metadata": {"name": "nodes", "namespace": NAMESPACE},
        "spec": {"minReplicas": 1, "maxReplicas": 9},
    }
    await cluster.set_minimum("nodes", 5)
    assert await cluster.minimum("nodes") == 5
    with pytest.raises(RemoteError, match="404"):
        await cluster.minimum("others")


async def test_leases(cluster: Cluster, kmock: Any):
    assert await cluster.lease("l") is None
    made = await cluster.write_lease("l", "me", None)
    assert made.holder == "me"
    kept = await cluster.write_lease("l", "me", made)
    assert kept.transitions == 0
    given = await cluster.write_lease("l", "", kept)
    assert (given.holder, given.transitions) == ("", 1)
    assert await cluster.lease("l") == given
    assert kmock.objects[LEASES, NAMESPACE, "l"]["spec"]["leaseDurationSeconds"] == 15


async def test_two_that_make_a_lease_at_once(cluster: Cluster):
    await cluster.write_lease("l", "me", None)
    with pytest.raises(ConflictError):
        await cluster.write_lease("l", "you", None)


async def test_addresses_are_of_ready_endpoints_that_stay(cluster: Cluster, kmock: Any):
    def endpoint(name: str, host: str, **conditions: bool) -> dict[str, Any]:
        return {
            "addresses": [host],
            "conditions": conditions,
            "targetRef": {"kind": "Pod", "name": name},
        }

    for family, hosts in (("IPv4", "10.0.0.{}"), ("IPv6", "fd00::{}")):
        kmock.objects[SLICES, NAMESPACE, f"s-{family.lower()}"] = {
            "metadata": {"name": f"s-{family.lower()}", "namespace": NAMESPACE},
            "addressType": family,
            "endpoints": [
                endpoint("a", hosts.format(1), ready=True),
                endpoint("b", hosts.format(2), ready=False),
                endpoint("c", hosts.format(3), ready=True, terminating=True),
            ],
        }
    kmock.objects[SLICES, NAMESPACE, "only6"] = {
        "metadata": {"name": "only6", "namespace": NAMESPACE},
        "addressType": "IPv6",
        "endpoints": [endpoint("d", "fd00::4")],
    }
    assert await cluster.addresses("gateway") == ["10.0.0.1", "fd00::4"]


async def test_an_overloaded_server_is_asked_again(cluster: Cluster, kmock: Any):
    asked = 0

    def answer(_request: Any) -> Any:
        nonlocal asked
        asked += 1
        return _status(429) if asked <= 2 else _answer(200, {"items": []})

    kmock[f"get /api/v1/namespaces/{NAMESPACE}/pods"] << answer
    assert await cluster.pods("x=y") == []
    assert asked == 3


@pytest.mark.parametrize("code", [401, 403, 410, 422])
async def test_refusals_name_what_was_asked(cluster: Cluster, kmock: Any, code: int):
    kmock[f"get /api/v1/namespaces/{NAMESPACE}/pods"] << _status(code)
    with pytest.raises(RemoteError, match=f"{code} to GET .*pods"):
        await cluster.pods("x=y")


async def test_a_watch_tells_of_changes_and_of_410(cluster: Cluster, kmock: Any):
    kmock.objects[PODS, NAMESPACE, "a"] = pod("a")
    async with asyncio.timeout(60):
        async for _ in cluster.changes("x=y"):
            break
    kmock[f"get /api/v1/namespaces/{NAMESPACE}/pods"] << _status(410)
    with pytest.raises(RemoteError, match="410"):
        async for _ in cluster.changes("x=y"):
            pass


@pytest.mark.parametrize("version", ["v1.99.3", "v2.0.0-eks-113cf36", "nightly"])
async def test_a_server_newer_than_kr8s_is_taken_silently(
    cluster: Cluster, kmock: Any, version: str
):
    kmock["get /version/"] << {"major": "1", "minor": "99", "gitVersion": version}
    kmock.objects[PODS, NAMESPACE, "a"] = pod("a")
    assert [each.name for each in await cluster.pods("x=y")] == ["a"]


async def test_no_server():
    with pytest.raises(ConnectError, match="does not answer"):
        await Cluster(NAMESPACE, url="http://127.0.0.1:1").pods("x=y")


def _status(code: int) -> Any:
    return _answer(code, {"kind": "Status", "code": code, "message": "told so"})


def _answer(code: int, body: Any) -> Any:
    return kmock_package.Response(status=code, payload=body)
