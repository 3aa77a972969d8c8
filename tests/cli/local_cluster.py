"""A fleet of this machine that looks like one on a cluster, as far as `deploy check` asks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from elastron.fleet.local.folder import Role, StateFolder
from tests.cli.conftest import PATIENCE_S, RunningServer

RELEASE = "gt1"
_LABELS = {"app.kubernetes.io/instance": RELEASE}


class _Forward:
    def __init__(self, address: str) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.address = address


class LocalCluster:
    """What a `Kubectl` of such a cluster would say and do.

    Attributes:
        scaler: what the HPA says of itself; None: there is none.
        killed: pods that were deleted.
    """

    namespace = "imaging"

    def __init__(self, server: RunningServer, maximum: int) -> None:
        self._server = server
        self.scaler: dict[str, Any] | None = {"maxReplicas": maximum}
        self.problem = ""
        self.killed: list[str] = []

    def current_namespace(self) -> str:
        return self.namespace

    def find(self, kinds: str, *, selector: str) -> list[dict[str, Any]]:
        if RELEASE not in selector:
            return []
        if kinds == "pods":
            return self._pods(selector)
        gateway = {"name": "door", "labels": _LABELS | {"app.kubernetes.io/component": "gateway"}}
        ports = [{"name": "scans", "port": 9002}, {"name": "admin", "port": 8090}]
        found = [{"kind": "Service", "metadata": gateway, "spec": {"ports": ports}}]
        nodes = self._nodes()
        labels = _LABELS | {
            "app.kubernetes.io/component": "node",
            "elastron.dev/pool": "default",
        }
        spec = {"replicas": self._wanted(), "selector": {"matchLabels": _LABELS | {"of": "node"}}}
        ready = sum(each["state"] in ("ready", "busy", "full") for each in nodes)
        status = {"readyReplicas": ready or len(nodes)}
        meta = {"name": "nodes", "labels": labels}
        found.append({"kind": "Deployment", "metadata": meta, "spec": spec, "status": status})
        if self.scaler is not None:
            down = {"scaleDown": {"stabilizationWindowSeconds": 1}}
            target = {"scaleTargetRef": {"name": "nodes"}, "behavior": down}
            conditions = []
            if self.problem:
                conditions = [{"type": "ScalingActive", "status": "False", "reason": self.problem}]
            found.append(
                {
                    "kind": "HorizontalPodAutoscaler",
                    "metadata": {"name": "nodes", "labels": labels},
                    "spec": target | self.scaler,
                    "status": {"conditions": conditions},
                }
            )
        return found

    @contextmanager
    def port_forward(self, _target: str, port: int | str) -> Iterator[_Forward]:
        if port in (9002, "scans"):
            yield _Forward(self._server.ready["scans"])
        else:
            yield _Forward(urlsplit(self._server.ready["admin"]).netloc)

    def delete(self, _kind: str, name: str, **_how: Any) -> None:
        self.killed.append(name)
        for record in StateFolder(self._server.state).records():
            if record.name == name:
                os.kill(record.identity.pid, signal.SIGKILL)

    def _nodes(self) -> list[dict[str, Any]]:
        return httpx.get(f"{self._server.ready['admin']}/fleet", timeout=PATIENCE_S).json()["nodes"]

    def _wanted(self) -> int:
        status = f"{self._server.ready['fleet']['autoscaler']}/status"
        return httpx.get(status, timeout=PATIENCE_S).json()["pools"]["default"]["desired"]

    def _pods(self, selector: str) -> list[dict[str, Any]]:
        conditions = [{"type": "Ready", "status": "True"}]
        names = ["gateway"]
        if "of=node" in selector:
            records = StateFolder(self._server.state).records()
            names = [each.name for each in records if each.role is Role.NODE and each.alive]
        return [{"metadata": {"name": n}, "status": {"conditions": conditions}} for n in names]
