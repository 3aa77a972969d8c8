"""Whether a cluster can take a deployment, judged by what is known of it. Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from elastron.cloud.facts import Facts, Machine
from elastron.cloud.manifest import Needs, Volume, Workload
from elastron.cloud.pod_security import violations
from elastron.cloud.quantity import quantity

#: The oldest Kubernetes that the charts take (their `kubeVersion`).
SERVER_MIN = (1, 27)
#: kubectl and cluster may be apart by so many minor versions, says Kubernetes.
SKEW_MAX = 1
#: A metric that a recording rule of the chart makes.
DEMAND = "elastron_demand"
_RULES = ("monitoring.coreos.com/v1", "PrometheusRule")
#: Who makes volumes that only one machine at a time can use.
_ONE_MACHINE = (
    "disk.csi.azure.com",
    "kubernetes.io/azure-disk",
    "ebs.csi.aws.com",
    "kubernetes.io/aws-ebs",
    "pd.csi.storage.gke.io",
    "kubernetes.io/gce-pd",
    "cinder.csi.openstack.org",
    "rancher.io/local-path",
    "kubernetes.io/no-provisioner",
)
#: Who brings kinds that no cluster has of itself.
_BRINGERS = {
    "monitoring.coreos.com": (
        "the Prometheus operator",
        "install it, or leave serviceMonitor.enabled and prometheusRule.enabled at auto",
    ),
    "keda.sh": ("KEDA", "install it, or set autoscaling.provider=hpa"),
}
_METRICS_TODO = {
    "metrics.k8s.io": "install metrics-server",
    "custom.metrics.k8s.io": (
        "install prometheus-adapter with deploy/prometheus/adapter.yaml, or set "
        "autoscaling.provider=keda or none; until then the fleet stays at its minimum"
    ),
    "external.metrics.k8s.io": "it comes with KEDA",
}
_GPU = re.compile(r"^(nvidia\.com/|amd\.com/gpu|gpu\.intel\.com/)")
_REFUSALS_SHOWN = 6


class Result(enum.Enum):
    """How a check ends."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        result: how it ended.
        what: was found.
        todo: what to do about it; empty where all is well.
    """

    result: Result
    what: str
    todo: str = ""


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(Result.OK, what)


def warn(what: str, todo: str) -> Finding:
    """It may go on, but not as wished."""
    return Finding(Result.WARN, what, todo)


def fail(what: str, todo: str) -> Finding:
    """It would not work."""
    return Finding(Result.FAIL, what, todo)


def judge(facts: Facts, needs: Needs) -> list[Finding]:
    """Everything there is to say of a cluster that is to take objects with these needs."""
    found = list(reachable(facts))
    if facts.problem:
        return found
    for each in (rights, kinds, storage, metrics, machines, security, references, trial):
        found += each(facts, needs)
    return found


def reachable(facts: Facts) -> Iterator[Finding]:
    """The cluster answers and is of a version that the charts know."""
    client, server = facts.versions.client, facts.versions.server
    if facts.problem or server is None:
        yield fail(
            f"the cluster does not answer: {facts.problem}",
            "look at --context and --kubeconfig, and whether you are logged in: kubectl get nodes",
        )
        return
    if server < SERVER_MIN:
        yield fail(
            f"Kubernetes {facts.versions.server_text} is too old",
            f"the charts need {SERVER_MIN[0]}.{SERVER_MIN[1]} or newer",
        )
    else:
        yield ok(f"Kubernetes {facts.versions.server_text}")
    if abs(client[1] - server[1]) > SKEW_MAX:
        yield warn(
            f"kubectl {client[0]}.{client[1]} is far from the cluster's version",
            f"install kubectl {server[0]}.{server[1]}",
        )


def rights(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """We may do what an installation does."""
    del needs
    where = f"namespace {facts.namespace}"
    if facts.denied:
        yield fail(
            f"you may not: {', '.join(facts.denied)} in {where}",
            "ask whoever runs the cluster for the role admin of that namespace",
        )
    elif facts.namespace_labels is None:
        yield ok(f"{where} is not there yet, and you may create it")
    else:
        yield ok(f"you may install in {where}")


def kinds(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """The cluster knows every kind of object."""
    if facts.kinds is None:
        return
    missing: dict[str, list[str]] = {}
    for api, kind in sorted(needs.kinds - facts.kinds):
        missing.setdefault(api.rpartition("/")[0], []).append(f"{api} {kind}")
    for group, names in missing.items():
        bringer, todo = _BRINGERS.get(group, ("", "install what brings it"))
        of = f", which {bringer} brings" if bringer else ""
        yield fail(f"the cluster knows no {', '.join(names)}{of}", todo)
    for group, (bringer, _) in _BRINGERS.items():
        if group not in missing and any(api.startswith(f"{group}/") for api, _ in needs.kinds):
            yield ok(f"{bringer} is there")


def storage(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """Every volume finds somebody who makes it."""
    for volume in needs.volumes:
        phase = facts.claims.get(volume.name)
        if phase == "Bound":
            yield ok(f"volume {volume.name} is there and bound")
        elif facts.storage_classes is None:
            yield warn(
                f"whether there is a storage class for {volume.name} may not be asked",
                "see that there is one: kubectl get storageclass",
            )
        else:
            yield _volume(facts, volume)


def _volume(facts: Facts, volume: Volume) -> Finding:
    classes = facts.storage_classes or ()
    if volume.storage_class is None:
        chosen = [each for each in classes if each.default]
        missing = "there is no default storage class"
    else:
        chosen = [each for each in classes if each.name == volume.storage_class]
        missing = f"there is no storage class {volume.storage_class}"
    if not chosen:
        names = ", ".join(each.name for each in classes) or "none"
        return fail(
            f"{missing} for volume {volume.name}",
            f"set storage.storageClass to one of those there are: {names}",
        )
    made_by = chosen[0]
    if "ReadWriteMany" in volume.access_modes and made_by.provisioner in _ONE_MACHINE:
        return fail(
            f"volume {volume.name} is to be shared by machines (ReadWriteMany), which class "
            f"{made_by.name} ({made_by.provisioner}) cannot",
            "set storage.storageClass to a class of shared files (NFS, Azure Files, EFS, CephFS), "
            "or, if all pods run on one machine, storage.accessMode=ReadWriteOnce",
        )
    return ok(f"volume {volume.name} from storage class {made_by.name}")


def metrics(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """Autoscalers get their figures."""
    if facts.apis is None:
        return
    groups = {api.partition("/")[0] for api in facts.apis}
    for group in sorted(needs.metric_apis):
        if group in groups:
            yield ok(f"{group} answers autoscalers")
        else:
            yield warn(f"nothing answers for {group}: autoscaling stands", _METRICS_TODO[group])
    if DEMAND in needs.metrics and _RULES not in needs.kinds:
        yield warn(
            f"{DEMAND} is made by a PrometheusRule that is not installed with this: without it a "
            "fleet grows and never shrinks",
            "have the rule of deploy/prometheus in your Prometheus, or set prometheusRule.enabled, "
            "or autoscaling.demandMetric=false",
        )


def machines(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """Every kind of pod finds a machine that can hold it."""
    if facts.machines is None:
        yield warn("machines of the cluster may not be asked", "see kubectl get nodes")
        return
    ready = [each for each in facts.machines if each.ready]
    if not ready:
        yield warn(
            "no machine of the cluster takes pods now",
            "if the cluster does not make machines when asked, see kubectl describe nodes",
        )
        return
    homeless = False
    for workload in needs.workloads:
        if problem := _place(workload, ready):
            homeless = True
            yield problem
    if not homeless:
        yield ok(f"machines that can hold the pods: {len(ready)}")
    unloaded = sorted(
        image
        for image, policy in needs.images
        if policy == "Never" and not any(_holds(each, image) for each in ready)
    )
    for image in unloaded:
        yield fail(f"no machine has the image {image}, and it may not be pulled", "load it there")
    pulled = sorted(
        image
        for image, policy in needs.images
        if policy != "Never" and not all(_holds(each, image) for each in ready)
    )
    if pulled:
        yield ok(f"to be pulled by machines that lack them: {', '.join(pulled)}")


def _place(workload: Workload, ready: list[Machine]) -> Finding | None:
    """What keeps a workload's pods from every machine; None: nothing."""
    selector: Mapping[str, str] = workload.spec.get("nodeSelector") or {}
    fitting = [each for each in ready if selector.items() <= each.labels.items()]
    later = "fine if the cluster makes such machines when pods wait for them; else "
    if not fitting:
        wanted = ", ".join(f"{name}={value}" for name, value in selector.items())
        return warn(
            f"{workload.name}: no machine with {wanted} now", f"{later}look at nodeSelector"
        )
    tolerated = [each for each in fitting if _tolerates(workload, each)]
    if not tolerated:
        taints = {t["key"] for each in fitting for t in each.taints}
        return warn(
            f"{workload.name}: its machines repel it by taint {', '.join(sorted(taints))}",
            f"{later}add tolerations",
        )
    asked = {
        name
        for each in workload.containers
        for name in (each.get("resources") or {}).get("limits", {})
    } | {"cpu", "memory"}
    for name in sorted(asked):
        wanted = workload.requests(name)
        if not wanted:
            continue
        most = max((quantity(each.allocatable.get(name, "0")) for each in tolerated), default=0)
        if quantity(wanted) > most:
            return _too_little(workload, name, wanted, most, later)
    return None


def _too_little(workload: Workload, name: str, wanted: str, most: float, later: str) -> Finding:
    if _GPU.match(name):
        return warn(
            f"{workload.name}: no machine offers {name}",
            f"{later}install the GPU's device plugin, see kubectl describe nodes",
        )
    return warn(
        f"{workload.name} asks for {wanted} {name}, more than any machine has ({most:g})",
        f"{later}lower resources.requests",
    )


def _tolerates(workload: Workload, machine: Machine) -> bool:
    return all(
        any(_fits(toleration, taint) for toleration in workload.spec.get("tolerations") or [])
        for taint in machine.taints
        if taint.get("effect") in ("NoSchedule", "NoExecute")
    )


def _fits(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get(
        "value", ""
    )


def _holds(machine: Machine, image: str) -> bool:
    """Whether it has the image; registries may be left out of a name."""
    return any(name == image or name.endswith(f"/{image}") for name in machine.images)


def security(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """The namespace's pod security level lets the pods in."""
    level = (facts.namespace_labels or {}).get("pod-security.kubernetes.io/enforce")
    if level is None or level == "privileged":
        return
    bad = {
        workload.name: problems
        for workload in needs.workloads
        if (problems := violations(workload.spec, restricted=level == "restricted"))
    }
    for name, problems in bad.items():
        yield fail(
            f"{name} breaks the namespace's pod security level {level}: {', '.join(problems)}",
            "set podSecurityContext, securityContext or gadgetronSecurityContext, or another level",
        )
    if not bad:
        yield ok(f"the pods keep to the namespace's pod security level {level}")


def references(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """Secrets and classes that are named exist."""
    if facts.secrets is not None:
        for name, who in sorted(needs.secrets.items()):
            if name not in facts.secrets:
                yield fail(
                    f"there is no secret {name}, which {who} needs, in {facts.namespace}",
                    "create it before, or take its name out of the values",
                )
    for kind, wanted, there in (
        ("priority class", needs.priority_classes, facts.priority_classes),
        ("runtime class", needs.runtime_classes, facts.runtime_classes),
    ):
        if there is not None:
            builtin = {name for name in wanted if name.startswith("system-")}
            for name in sorted(wanted - there - builtin):
                yield fail(f"there is no {kind} {name}", "create it, or take it out of the values")


def trial(facts: Facts, needs: Needs) -> Iterator[Finding]:
    """The cluster would take every object as it is."""
    del needs
    if facts.refusals is None:
        return
    warnings = [each for each in facts.refusals if each.startswith("Warning:")]
    refused = [each for each in facts.refusals if each not in warnings]
    if not refused:
        yield ok("the cluster would take every object")
        return
    shown = [*refused[:_REFUSALS_SHOWN]]
    if len(refused) > _REFUSALS_SHOWN:
        shown.append(f"and {len(refused) - _REFUSALS_SHOWN} more")
    yield fail(
        "the cluster would not take it: " + "\n".join(shown),
        "an immutable field needs the object deleted first (its pods may stay: "
        "kubectl delete --cascade=orphan); the rest is for the values or the cluster's owner",
    )
