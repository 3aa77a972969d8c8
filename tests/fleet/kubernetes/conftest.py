"""A Kubernetes API that remembers (kmock)."""

from __future__ import annotations

from typing import Any

import pytest

from elastron.fleet.kubernetes.cluster import Cluster

LEASES = "coordination.k8s.io/v1/leases"
SLICES = "discovery.k8s.io/v1/endpointslices"
SCALERS = "autoscaling/v2/horizontalpodautoscalers"
PODS = "v1/pods"
NAMESPACE = "imaging"


@pytest.fixture
async def cluster(kmock: Any) -> Cluster:
    """The namespace `imaging` of it."""
    kmock["get /version/"] << {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
    for resource in (LEASES, SLICES, SCALERS, PODS):
        kmock.resources[resource] = {}
    return Cluster(NAMESPACE, url=str(kmock.url).rstrip("/"))


def pod(name: str, host: str = "", *, pool: str = "default", phase: str = "Running") -> Any:
    """A node's pod."""
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"elastron.dev/pool": pool},
            "annotations": {},
        },
        "status": {"phase": phase, "podIP": host},
    }
