"""What a deployment must know of a cluster before it begins, asked by kubectl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from elastron.cloud.kubectl import Kubectl, Object, Versions
from elastron.cloud.manifest import Needs
from elastron.cloud.program import ProgramError

#: Helm keeps its releases in Secrets.
_HELM_KINDS = (("v1", "Secret"),)
_VERBS = ("get", "create", "patch", "delete")

#: A resource's name, `deployments`, and whether it lies in a namespace.
Resource = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A storage class: its name, who makes its volumes, and whether it is the default one."""

    name: str
    provisioner: str
    default: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """A node of the cluster.

    Attributes:
        name: of the node.
        labels: of the node.
        taints: `key`, `value`, `effect` each.
        allocatable: quantities by resource.
        images: names of images it has.
        ready: takes pods.
    """

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    allocatable: Mapping[str, str]
    images: frozenset[str]
    ready: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a cluster; None: it may not be asked, or does not say.

    Attributes:
        versions: of kubectl and of the cluster.
        problem: why the cluster does not answer; empty: it does.
        namespace: that is deployed to.
        namespace_labels: None: the namespace is not there.
        denied: `create deployments.apps` that we may not.
        apis: `group/version` it has.
        kinds: (`group/version`, kind) it has, of the groups asked for.
        storage_classes: all of them.
        machines: all of them.
        claims: PersistentVolumeClaims of the namespace, with their phase.
        secrets: names, of those asked for, that are there.
        priority_classes: by name.
        runtime_classes: by name.
        refusals: what the cluster says to a trial of the objects, line by line; None: not tried.
    """

    versions: Versions
    problem: str = ""
    namespace: str = "default"
    namespace_labels: Mapping[str, str] | None = None
    denied: tuple[str, ...] = ()
    apis: frozenset[str] | None = None
    kinds: frozenset[tuple[str, str]] | None = None
    storage_classes: tuple[StorageClass, ...] | None = None
    machines: tuple[Machine, ...] | None = None
    claims: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] | None = None
    priority_classes: frozenset[str] | None = None
    runtime_classes: frozenset[str] | None = None
    refusals: tuple[str, ...] | None = None


def reach(kubectl: Kubectl) -> tuple[Versions, str]:
    """Versions, and why the cluster does not answer; empty: it does.

    Raises:
        ConfigError: there is no kubectl.
    """
    versions = kubectl.versions()
    if versions.server is not None:
        return versions, ""
    try:
        kubectl.raw("/version")
    except ProgramError as error:
        return versions, error.complaint.splitlines()[-1] if error.complaint else str(error)
    return versions, "it tells no version"


def api_versions(kubectl: Kubectl) -> frozenset[str]:
    """`group/version` that the cluster has."""
    found = {"v1"}
    for group in (kubectl.raw("/apis") or {}).get("groups") or []:
        found |= {each["groupVersion"] for each in group["versions"]}
    return frozenset(found)


def gather(
    kubectl: Kubectl,
    namespace: str,
    needs: Needs,
    objects: Iterable[Object],
    *,
    versions: Versions,
    apis: frozenset[str],
) -> Facts:
    """Ask the cluster for all that `checks` judges by.

    Args:
        kubectl: to ask by; the cluster answers.
        namespace: that is deployed to.
        needs: of the objects.
        objects: that are to be installed; tried without being installed.
        versions: of `reach`.
        apis: of `api_versions`.
    """
    resources = _resources(kubectl, {*needs.kinds, *_HELM_KINDS}, apis)
    space = kubectl.get("namespace", namespace)
    claims = _allowed(kubectl, "persistentvolumeclaims", namespace) or []
    return Facts(
        versions=versions,
        namespace=namespace,
        namespace_labels=None if space is None else space["metadata"].get("labels") or {},
        denied=_denied(kubectl, namespace, needs, resources, new=space is None),
        apis=apis,
        kinds=frozenset(resources),
        storage_classes=_storage_classes(kubectl),
        machines=_machines(kubectl),
        claims={each["metadata"]["name"]: each["status"].get("phase", "") for each in claims},
        secrets=_secrets(kubectl, namespace, needs),
        priority_classes=_names(kubectl, "priorityclasses", needs.priority_classes),
        runtime_classes=_names(kubectl, "runtimeclasses", needs.runtime_classes),
        refusals=None if space is None else _trial(kubectl, namespace, list(objects)),
    )


def _resources(
    kubectl: Kubectl, wanted: Iterable[tuple[str, str]], apis: frozenset[str]
) -> dict[tuple[str, str], Resource]:
    """(`group/version`, kind) to the resource, of those wanted at least."""
    found = kubectl.kinds()
    # Versions that the cluster has, but does not prefer.
    for api in {api for api, kind in wanted if (api, kind) not in found} & apis:
        listed = kubectl.raw(f"/apis/{api}" if "/" in api else f"/api/{api}") or {}
        for each in listed.get("resources") or []:
            if "/" not in each["name"]:
                found[api, each["kind"]] = (each["name"], bool(each["namespaced"]))
    return found


def _denied(
    kubectl: Kubectl,
    namespace: str,
    needs: Needs,
    resources: Mapping[tuple[str, str], Resource],
    *,
    new: bool,
) -> tuple[str, ...]:
    """Rights that lack, asked all at once."""
    wanted = {(api, resources[api, kind]) for api, kind in needs.kinds if (api, kind) in resources}
    wanted |= {(each[0], resources[each]) for each in _HELM_KINDS if each in resources}
    asked = [
        _review(verb, api, resource, namespace if namespaced else "")
        for api, (resource, namespaced) in sorted(wanted)
        for verb in _VERBS
    ]
    if new:
        asked.append(_review("create", "v1", "namespaces", ""))
    denied: list[str] = []
    for answer in kubectl.create(asked):
        if not answer["status"].get("allowed"):
            attributes = answer["spec"]["resourceAttributes"]
            group = attributes.get("group") or ""
            name = f"{attributes['resource']}.{group}" if group else attributes["resource"]
            denied.append(f"{attributes['verb']} {name}")
    return tuple(denied)


def _review(verb: str, api: str, resource: str, namespace: str) -> Object:
    attributes = {"verb": verb, "group": api.rpartition("/")[0], "resource": resource}
    if namespace:
        attributes["namespace"] = namespace
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def _allowed(kubectl: Kubectl, kinds: str, namespace: str | None = None) -> list[Object] | None:
    """Objects of a kind; None: we may not ask."""
    try:
        return kubectl.find(kinds, namespace=namespace, everywhere=namespace is None)
    except ProgramError as error:
        if "Forbidden" in error.complaint or "doesn't have a resource" in error.complaint:
            return None
        raise


def _storage_classes(kubectl: Kubectl) -> tuple[StorageClass, ...] | None:
    listed = _allowed(kubectl, "storageclasses")
    if listed is None:
        return None
    return tuple(
        StorageClass(
            each["metadata"]["name"],
            each["provisioner"],
            (each["metadata"].get("annotations") or {}).get(
                "storageclass.kubernetes.io/is-default-class"
            )
            == "true",
        )
        for each in listed
    )


def _machines(kubectl: Kubectl) -> tuple[Machine, ...] | None:
    listed = _allowed(kubectl, "nodes")
    return None if listed is None else tuple(_machine(each) for each in listed)


def _machine(each: Object) -> Machine:
    status, spec = each.get("status") or {}, each.get("spec") or {}
    conditions: list[Any] = status.get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return Machine(
        name=each["metadata"]["name"],
        labels=each["metadata"].get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        allocatable=status.get("allocatable") or {},
        images=frozenset(
            name for image in status.get("images") or [] for name in image.get("names") or []
        ),
        ready=ready and not spec.get("unschedulable"),
    )


def _secrets(kubectl: Kubectl, namespace: str, needs: Needs) -> frozenset[str] | None:
    """Names only: what is in them is none of our business."""
    if not needs.secrets:
        return frozenset()
    try:
        return frozenset(
            name for name in needs.secrets if kubectl.exists("secret", name, namespace=namespace)
        )
    except ProgramError:
        return None


def _names(kubectl: Kubectl, kind: str, wanted: frozenset[str]) -> frozenset[str] | None:
    if not wanted:
        return frozenset()
    listed = _allowed(kubectl, kind)
    return None if listed is None else frozenset(each["metadata"]["name"] for each in listed)


def _trial(kubectl: Kubectl, namespace: str, objects: list[Object]) -> tuple[str, ...]:
    """What the cluster says to the objects: admission, immutable fields, quotas."""
    try:
        kubectl.apply(objects, namespace=namespace, dry_run=True, force=True)
    except ProgramError as error:
        return tuple(line for line in error.complaint.splitlines() if line.strip())
    return ()
