"""A fleet that is installed: its services, pools, pods, as labels and not as names tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elastron.cloud.kubectl import Kubectl, Object
from elastron.errors import ConfigError

#: Labels of the charts' objects.
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
POOL = "elastron.dev/pool"
_KINDS = "services,deployments,horizontalpodautoscalers"
#: A waiting container that will not get better by waiting: its image does not come ...
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
#: ... or it does not start.
_STUCK = ("CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError")


@dataclass(frozen=True, slots=True)
class Scaler:
    """A pool's HorizontalPodAutoscaler.

    Attributes:
        minimum: of nodes.
        maximum: of nodes.
        shrink_after_s: for so long the demand must be low before nodes leave.
        problem: why it does not work; empty: it does.
    """

    minimum: int
    maximum: int
    shrink_after_s: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """Nodes of one kind.

    Attributes:
        name: of the pool.
        workload: name of its Deployment.
        wanted: nodes there should be now.
        ready: nodes that take scans.
        selector: labels of its pods.
        scaler: who changes `wanted`; None: nobody.
    """

    name: str
    workload: str
    wanted: int
    ready: int
    selector: str
    scaler: Scaler | None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod: its name, its address (empty: none yet), whether it is ready, and what is amiss."""

    name: str
    host: str
    ready: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A release of the fleet's chart.

    Attributes:
        release: its name.
        service: name of the Service for scans.
        port: of it.
        admin: name of the Service of the admin pages.
        admin_port: of it.
        gateways: labels of the gateways' pods.
        pools: the default one first.
    """

    release: str
    service: str
    port: int
    admin: str
    admin_port: int
    gateways: str
    pools: tuple[Pool, ...]


def find_fleet(kubectl: Kubectl, release: str) -> Fleet:
    """What a release consists of now.

    Raises:
        ConfigError: it is not in this namespace, or no fleet.
        RemoteError: the cluster refuses or does not answer.
    """
    objects = kubectl.find(_KINDS, selector=f"{INSTANCE}={release}")
    services = [each for each in objects if each["kind"] == "Service" and _is(each, "gateway")]
    scans = _service(services, "scans")
    admin = _service(services, "admin")
    if scans is None or admin is None:
        raise ConfigError(
            f"There is no fleet {release} in namespace {kubectl.current_namespace()}. See those "
            "there are: helm list --all-namespaces; choose by --namespace and --context."
        )
    scalers = {
        each["spec"]["scaleTargetRef"]["name"]: _scaler(each)
        for each in objects
        if each["kind"] == "HorizontalPodAutoscaler"
    }
    pools = [
        _pool(each, scalers)
        for each in objects
        if each["kind"] == "Deployment"
        and POOL in each["metadata"]["labels"]
        # Placeholders wear the pool's label too, and take no scans.
        and each["metadata"]["labels"].get(COMPONENT, "").startswith("node")
    ]
    return Fleet(
        release=release,
        service=scans[0],
        port=scans[1],
        admin=admin[0],
        admin_port=admin[1],
        gateways=f"{INSTANCE}={release},{COMPONENT}=gateway",
        pools=tuple(sorted(pools, key=lambda each: (each.name != "default", each.name))),
    )


def pods(kubectl: Kubectl, selector: str) -> list[Pod]:
    """Pods that fit labels and are not leaving."""
    found = kubectl.find("pods", selector=selector)
    return [_pod(each) for each in found if not each["metadata"].get("deletionTimestamp")]


def progress(kubectl: Kubectl, release: str) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """How far a release has come.

    Returns:
        Ready and wanted pods of each Deployment and StatefulSet, and what its pods suffer from.
    """
    selector = f"{INSTANCE}={release}"
    counts: dict[str, tuple[int, int]] = {}
    for each in kubectl.find("deployments,statefulsets", selector=selector):
        status = each.get("status") or {}
        ready = min(int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0))
        counts[each["metadata"]["name"]] = (ready, int(each["spec"].get("replicas", 1)))
    problems = [f"{pod.name}: {pod.problem}" for pod in pods(kubectl, selector) if pod.problem]
    return counts, problems


def _is(each: Object, component: str) -> bool:
    return each["metadata"]["labels"].get(COMPONENT) == component


def _service(services: Sequence[Object], port: str) -> tuple[str, int] | None:
    for each in services:
        for found in each["spec"].get("ports") or []:
            if found.get("name") == port:
                return each["metadata"]["name"], int(found["port"])
    return None


def _pool(each: Object, scalers: dict[str, Scaler]) -> Pool:
    name = each["metadata"]["name"]
    labels = each["spec"]["selector"]["matchLabels"]
    return Pool(
        name=each["metadata"]["labels"][POOL],
        workload=name,
        wanted=int(each["spec"].get("replicas", 1)),
        ready=int((each.get("status") or {}).get("readyReplicas") or 0),
        selector=",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        scaler=scalers.get(name),
    )


def _scaler(each: Object) -> Scaler:
    spec, status = each["spec"], each.get("status") or {}
    down = (spec.get("behavior") or {}).get("scaleDown") or {}
    bad = [
        condition.get("message") or condition["reason"]
        for condition in status.get("conditions") or []
        if condition["type"] in ("AbleToScale", "ScalingActive") and condition["status"] == "False"
    ]
    return Scaler(
        minimum=int(spec.get("minReplicas", 1)),
        maximum=int(spec["maxReplicas"]),
        shrink_after_s=float(down.get("stabilizationWindowSeconds", 300)),
        problem="; ".join(bad),
    )


def _pod(each: Object) -> Pod:
    status = each.get("status") or {}
    conditions = {
        found["type"]: (found["status"], found.get("message", ""))
        for found in status.get("conditions") or []
    }
    return Pod(
        name=each["metadata"]["name"],
        host=status.get("podIP") or "",
        ready=conditions.get("Ready", ("", ""))[0] == "True",
        problem=_problem(status, conditions.get("PodScheduled", ("", ""))),
    )


def _problem(status: Object, scheduled: tuple[str, str]) -> str:
    """What keeps a pod from running; empty: nothing that is known."""
    if scheduled[0] == "False":
        return f"finds no machine: {scheduled[1]}"
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in every:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _NO_IMAGE:
            # The last words are the cause; those before tell what was tried.
            cause = (waiting.get("message") or reason).rpartition(": ")[2]
            return f"cannot get image {container['image']}: {cause}"
        if reason in _STUCK:
            return f"{reason}: {waiting.get('message') or container['image']}"
    return ""
