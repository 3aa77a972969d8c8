"""The pod security standards, as far as charts can break them. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Any

#: Kinds of volumes that `restricted` allows.
_VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
_BASELINE_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)


def violations(spec: dict[str, Any], *, restricted: bool) -> list[str]:
    """What in a pod's spec breaks a level.

    Args:
        spec: of the pod.
        restricted: that level; else `baseline`.

    Returns:
        One phrase a problem; empty: it keeps to the level.
    """
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    volumes = spec.get("volumes") or []
    found += [f"volume {each['name']} is of the host" for each in volumes if "hostPath" in each]
    if restricted:
        found += [
            f"volume {each['name']} is of a forbidden kind"
            for each in volumes
            if "hostPath" not in each and not any(kind in each for kind in _VOLUMES)
        ]
    pod = spec.get("securityContext") or {}
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        own = container.get("securityContext") or {}
        problems = _container(pod, own, restricted=restricted)
        if any(port.get("hostPort") for port in container.get("ports") or []):
            problems.append("takes a port of the host")
        found += [f"container {container['name']} {each}" for each in problems]
    return found


def _container(pod: dict[str, Any], own: dict[str, Any], *, restricted: bool) -> list[str]:
    capabilities = own.get("capabilities") or {}
    added = set(capabilities.get("add") or ())
    found: list[str] = []
    if own.get("privileged"):
        found.append("is privileged")
    if added - (frozenset(("NET_BIND_SERVICE",)) if restricted else _BASELINE_CAPABILITIES):
        found.append("adds capabilities")
    profile = ((own.get("seccompProfile") or pod.get("seccompProfile")) or {}).get("type")
    if profile == "Unconfined":
        found.append("has no seccomp profile")
    if not restricted:
        return found
    if profile is None:
        found.append("names no seccomp profile")
    if "ALL" not in (capabilities.get("drop") or ()):
        found.append("keeps capabilities")
    if own.get("allowPrivilegeEscalation") is not False:
        found.append("allows privilege escalation")
    if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
        found.append("may run as root")
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        found.append("runs as root")
    return found
