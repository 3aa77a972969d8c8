"""The real helm and kubectl, and an API server that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from elastron.cloud.helm import Helm
from elastron.cloud.kubectl import Kubectl
from tests.cloud.api_server import api_server
from tests.cloud.api_world import World, ready_workloads
from tests.helm.harness import program

NAMESPACE = "imaging"


@pytest.fixture(autouse=True)
def _no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither helm nor kubectl sees this machine's settings and caches."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def world() -> World:
    """A cluster with one machine, a default storage class and the namespace `imaging`."""
    world = World(react=ready_workloads)
    world.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    world.put(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "file.csi.azure.com",
        }
    )
    world.put(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "machine", "labels": {"kubernetes.io/os": "linux"}},
            "spec": {},
            "status": {
                "allocatable": {"cpu": "8", "memory": "32Gi"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "images": [],
            },
        }
    )
    return world


@pytest.fixture
def kubeconfig(tmp_path: Path, world: World) -> Iterator[Path]:
    """Of a server with that world."""
    with api_server(tmp_path, world) as path:
        yield path


@pytest.fixture(params=["helm3", "helm4"])
def any_helm(request: pytest.FixtureRequest, kubeconfig: Path) -> Helm:
    """Each version of helm, against that server."""
    return Helm(kubeconfig=kubeconfig, binary=program(request.param))


@pytest.fixture
def helm(kubeconfig: Path) -> Helm:
    """Helm 4, against that server."""
    return Helm(kubeconfig=kubeconfig, binary=program("helm4"))


@pytest.fixture
def kubectl(kubeconfig: Path) -> Kubectl:
    """kubectl, against that server."""
    return Kubectl(kubeconfig=kubeconfig, namespace=NAMESPACE, binary=program("kubectl"))
