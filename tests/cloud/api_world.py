"""What a Kubernetes API server knows: the stand-in's core.

Nothing is validated or defaulted, and no controller runs: workloads are as `World.react` makes
them.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

#: API version, kind, resource, namespaced.
KINDS = [
    ("v1", "Namespace", "namespaces", False),
    ("v1", "Node", "nodes", False),
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Secret", "secrets", True),
    ("v1", "Service", "services", True),
    ("v1", "ServiceAccount", "serviceaccounts", True),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", True),
    ("v1", "Pod", "pods", True),
    ("apps/v1", "Deployment", "deployments", True),
    ("apps/v1", "StatefulSet", "statefulsets", True),
    ("apps/v1", "ReplicaSet", "replicasets", True),
    ("batch/v1", "Job", "jobs", True),
    ("batch/v1", "CronJob", "cronjobs", True),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", True),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", True),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True),
    ("coordination.k8s.io/v1", "Lease", "leases", True),
    ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", True),
    ("storage.k8s.io/v1", "StorageClass", "storageclasses", False),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", False),
    ("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", False),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False),
]
KEDA = ("keda.sh/v1alpha1", "ScaledObject", "scaledobjects", True)
MONITORING = [
    ("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors", True),
    ("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules", True),
]

Place = tuple[str, str, str]  # resource, namespace, name


@dataclass
class World:
    """What the server knows, for tests to look at and to change.

    Attributes:
        kinds: that there are.
        objects: by place.
        denied: `verb resource` that an access review refuses.
        refused: name of an object that admission refuses, and why.
        requests: method and path of each request.
        version: of the server.
        broken: every request is answered by 503.
    """

    kinds: list[tuple[str, str, str, bool]] = field(default_factory=lambda: list(KINDS))
    objects: dict[Place, Object] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    version: str = "v1.34.2"
    broken: bool = False
    react: Callable[[World, Object], None] = lambda _world, _each: None

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.counter = 1
        self.log: list[tuple[int, str, Object]] = []

    def put(self, each: Object, event: str = "") -> Object:
        """Keep an object as it is."""
        with self.changed:
            api, kind = each["apiVersion"], each["kind"]
            resource = next(found[2] for found in self.kinds if found[:2] == (api, kind))
            meta = each["metadata"]
            place = (resource, meta.get("namespace", ""), meta["name"])
            old = self.objects.get(place)
            generation = 0 if old is None else old["metadata"]["generation"]
            changed = old is None or old.get("spec") != each.get("spec")
            meta["generation"] = generation + changed
            self.counter += 1
            meta |= {"resourceVersion": str(self.counter)}
            meta.setdefault("uid", f"uid-{self.counter}")
            meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
            self.objects[place] = each
            self.log.append((self.counter, event or ("ADDED" if old is None else "MODIFIED"), each))
            self.changed.notify_all()
        return each

    def remove(self, place: Place) -> Object | None:
        """Forget an object."""
        with self.changed:
            gone = self.objects.pop(place, None)
            if gone is not None:
                self.counter += 1
                gone = copy.deepcopy(gone)
                gone["metadata"]["resourceVersion"] = str(self.counter)
                self.log.append((self.counter, "DELETED", gone))
                self.changed.notify_all()
        return gone

    def named(self, resource: str, name: str, namespace: str = "imaging") -> Object:
        """One object."""
        return self.objects[resource, namespace, name]


def ready_workloads(world: World, each: Object) -> None:
    """Deployments have their pods at once, claims their volumes."""
    each = copy.deepcopy(each)
    spec, meta = each.get("spec") or {}, each["metadata"]
    if each["kind"] == "Deployment":
        count = spec.get("replicas", 1)
        _replica_set(world, each, count)
        each["status"] = {
            "observedGeneration": meta["generation"],
            "replicas": count,
            "readyReplicas": count,
            "updatedReplicas": count,
            "availableReplicas": count,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        }
    elif each["kind"] == "Service":
        spec.setdefault("clusterIP", "10.0.0.1")
    elif each["kind"] == "PersistentVolumeClaim":
        each["status"] = {"phase": "Bound"}
    elif each["kind"] == "HorizontalPodAutoscaler":
        each["status"] = {
            "conditions": [
                {"type": kind, "status": "True"} for kind in ("AbleToScale", "ScalingActive")
            ]
        }
    elif each["kind"] == "PodDisruptionBudget":
        each["status"] = {"observedGeneration": meta["generation"]}
    else:
        return
    world.put(each)


def _replica_set(world: World, deployment: Object, count: int) -> None:
    spec, meta = deployment["spec"], deployment["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"]}
    owner |= {"uid": meta["uid"], "controller": True}
    made = world.put(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta['name']}-1",
                "namespace": meta["namespace"],
                "labels": spec["template"]["metadata"]["labels"],
                "ownerReferences": [owner],
            },
            "spec": {key: spec[key] for key in ("selector", "template")} | {"replicas": count},
        }
    )
    status = {"replicas": count, "readyReplicas": count}
    world.put(made | {"status": status | {"observedGeneration": made["metadata"]["generation"]}})
