"""Rendered objects, and what they ask of a cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from elastron.errors import ConfigError

Object = dict[str, Any]

#: Kinds whose pods lie in `spec.template`.
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")
#: Metric types of an HPA, and the API that answers for them.
METRIC_APIS = {
    "Resource": "metrics.k8s.io",
    "ContainerResource": "metrics.k8s.io",
    "Pods": "custom.metrics.k8s.io",
    "Object": "custom.metrics.k8s.io",
    "External": "external.metrics.k8s.io",
}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What tells one object from the others of a release.

    Attributes:
        kind: of the object.
        name: of the object.
        group: API group; empty: core.
        namespace: where it names one itself.
    """

    kind: str
    name: str
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind} {self.name}{where}"


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolumeClaim: its name, its class (None: the default one), how it is shared."""

    name: str
    storage_class: str | None
    access_modes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of pod: what it is called and its pod's spec."""

    name: str
    spec: Object

    @property
    def containers(self) -> list[Object]:
        """All of its containers, those that run first included."""
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]

    def requests(self, resource: str) -> str:
        """What its first container that names the resource is guaranteed of it; empty: nothing."""
        for container in self.containers:
            resources = container.get("resources") or {}
            for where in ("requests", "limits"):
                if resource in (resources.get(where) or {}):
                    return str(resources[where][resource])
        return ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What objects ask of the cluster they go to.

    Attributes:
        kinds: (`group/version`, kind) of all objects.
        volumes: claims.
        workloads: kinds of pods.
        metric_apis: groups that autoscalers ask.
        metrics: custom metrics that they ask for.
        secrets: names of Secrets that must be there before, and who asks for each.
        priority_classes: that must be there before, by name.
        runtime_classes: by name.
        load_balancers: names of Services of that type.
        images: (reference, pull policy).
    """

    kinds: frozenset[tuple[str, str]] = frozenset()
    volumes: tuple[Volume, ...] = ()
    workloads: tuple[Workload, ...] = ()
    metric_apis: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    secrets: dict[str, str] = field(default_factory=dict)
    priority_classes: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    load_balancers: tuple[str, ...] = ()
    images: frozenset[tuple[str, str]] = frozenset()


def objects_of(manifest: str) -> list[Object]:
    """The objects of a YAML manifest.

    Raises:
        ConfigError: it is no manifest.
    """
    try:
        documents = list(yaml.safe_load_all(manifest))
    except yaml.YAMLError as error:
        raise ConfigError(f"A rendered manifest is no YAML: {error}") from error
    found = [each for each in documents if each]
    for each in found:
        if (
            not isinstance(each, dict)
            or "kind" not in each
            or "name" not in each.get("metadata", {})
        ):
            raise ConfigError("A rendered manifest holds something that is no Kubernetes object.")
    return found


def key_of(each: Object) -> Key:
    """What tells it from the others."""
    meta = each["metadata"]
    group, slash, _ = str(each.get("apiVersion", "v1")).rpartition("/")
    return Key(each["kind"], meta["name"], group if slash else "", meta.get("namespace") or "")


def pod_spec(each: Object) -> Object | None:
    """The pod's spec of a workload; None: it has no pods."""
    if each["kind"] in _WORKLOADS:
        return each["spec"]["template"]["spec"]
    if each["kind"] == "CronJob":
        return each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return each["spec"] if each["kind"] == "Pod" else None


def needs(objects: Iterable[Object]) -> Needs:
    """What these objects ask of a cluster."""
    every = list(objects)
    made = {each["metadata"]["name"] for each in every if each["kind"] == "Secret"}
    workloads = [
        Workload(each["metadata"]["name"], spec)
        for each in every
        if (spec := pod_spec(each)) is not None
    ]
    secrets: dict[str, str] = {}
    for workload in workloads:
        for name in _secrets(workload):
            if name not in made:
                secrets.setdefault(name, workload.name)
    specs = [workload.spec for workload in workloads]
    return Needs(
        kinds=frozenset((each["apiVersion"], each["kind"]) for each in every),
        volumes=tuple(_volume(each) for each in every if each["kind"] == "PersistentVolumeClaim"),
        workloads=tuple(workloads),
        metric_apis=frozenset(_metric_apis(every)),
        metrics=frozenset(_metrics(every)),
        secrets=secrets,
        priority_classes=frozenset(_named(specs, "priorityClassName"))
        - {each["metadata"]["name"] for each in every if each["kind"] == "PriorityClass"},
        runtime_classes=frozenset(_named(specs, "runtimeClassName")),
        load_balancers=tuple(
            each["metadata"]["name"]
            for each in every
            if each["kind"] == "Service" and each["spec"].get("type") == "LoadBalancer"
        ),
        images=frozenset(
            (container["image"], container.get("imagePullPolicy") or "IfNotPresent")
            for workload in workloads
            for container in workload.containers
        ),
    )


def _named(specs: list[Object], name: str) -> Iterator[str]:
    return (spec[name] for spec in specs if spec.get(name))


def _volume(each: Object) -> Volume:
    spec = each["spec"]
    return Volume(
        each["metadata"]["name"], spec.get("storageClassName"), tuple(spec.get("accessModes") or ())
    )


def _metric_apis(every: list[Object]) -> Iterator[str]:
    for each in every:
        if each["kind"] == "HorizontalPodAutoscaler":
            for metric in each["spec"].get("metrics") or []:
                yield METRIC_APIS[metric["type"]]
        elif each["kind"] == "ScaledObject":
            yield METRIC_APIS["External"]


def _metrics(every: list[Object]) -> Iterator[str]:
    for each in every:
        if each["kind"] == "HorizontalPodAutoscaler":
            for metric in each["spec"].get("metrics") or []:
                for how in ("pods", "object"):
                    if how in metric:
                        yield metric[how]["metric"]["name"]


def _secrets(workload: Workload) -> Iterator[str]:
    """Secrets without which a pod does not start."""
    for each in workload.spec.get("imagePullSecrets") or []:
        yield each["name"]
    for volume in workload.spec.get("volumes") or []:
        secret = volume.get("secret") or {}
        if secret and not secret.get("optional"):
            yield secret["secretName"]
    for container in workload.containers:
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
            if reference and not reference.get("optional"):
                yield reference["name"]
        for source in container.get("envFrom") or []:
            reference = source.get("secretRef") or {}
            if reference and not reference.get("optional"):
                yield reference["name"]
