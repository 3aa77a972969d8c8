"""What the chart helm/gadgetron is told, so that it uses what Azure has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_parts import SPOT_TAINT
from elastron.cloud.azure.description_services import Metrics, Share
from elastron.cloud.azure.resource import Later, resolve

SHARE_CLASS = "elastron-shared"
"""Name of the class of volumes that several nodes share."""


def fleet_fullname(aks: Aks) -> str:
    """First part of the names that the chart gives: its template `gadgetron.fullname`."""
    values = aks.fleet.values
    if values.get("fullnameOverride"):
        return str(values["fullnameOverride"])[:40].removesuffix("-")
    name = str(values.get("nameOverride") or "gadgetron")
    release = aks.fleet.release
    return (release if name in release else f"{release}-{name}")[:40].removesuffix("-")


def fleet_values(aks: Aks, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Values of helm/gadgetron; those of the description's `fleet.values` win.

    Args:
        aks: the description.
        answers: what Azure answered, by key; `identity/storage` is needed.

    Raises:
        ConfigError: the storage identity is not there yet.
    """
    client_id = Later("identity/storage", "properties.clientId")
    values: dict[str, Any] = {
        "autoscaling": {"provider": aks.autoscaler.value},
        "storage": {"storageClass": SHARE_CLASS if aks.storage.share is not Share.NONE else ""},
        "storageServer": {
            "blobs": f"azure://{aks.storage_account}/{aks.storage.containers[0]}",
            "storageAccountConnectionStringSecretName": "",
            "serviceAccountAnnotations": {"azure.workload.identity/client-id": client_id},
            "podLabels": {"azure.workload.identity/use": "true"},
        },
        "service": {"internalLoadBalancer": aks.network.internal_load_balancer},
        "dashboard": {"enabled": aks.monitoring.metrics is Metrics.CLUSTER},
        **_placement(aks),
    }
    return _merge(resolve(values, answers), aks.fleet.values)


def share_class(aks: Aks) -> dict[str, Any] | None:
    """The StorageClass for volumes that several nodes share; None where none is wanted.

    SMB: the nodes mount with their identity (driver 1.34 or newer, AKS 1.34), no key exists.
    NFS: whoever is in the nodes' subnet may mount, no key exists either.
    """
    if aks.storage.share is Share.NONE:
        return None
    account = aks.share_account if aks.storage.share is Share.NFS else aks.storage_account
    parameters = {"resourceGroup": aks.group, "storageAccount": account}
    if aks.storage.share is Share.NFS:
        parameters |= {"protocol": "nfs"}
        options = ["nconnect=4", "noresvport", "actimeo=30"]
    else:
        parameters |= {"protocol": "smb", "mountWithManagedIdentity": "true"}
        # The fleet's pods run as 10001; only they see the share.
        options = [
            "dir_mode=0770",
            "file_mode=0660",
            "uid=10001",
            "gid=10001",
            "mfsymlinks",
            "cache=strict",
            "nosharesock",
            "actimeo=30",
            "nobrl",
        ]
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": SHARE_CLASS, "labels": {"app.kubernetes.io/managed-by": "elastron"}},
        "provisioner": "file.csi.azure.com",
        "parameters": parameters,
        "mountOptions": options,
        # What was archived outlives the claim.
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }


def _placement(aks: Aks) -> dict[str, Any]:
    """Nodes run on the scan pool, and tolerate what keeps others off."""
    if aks.scan_pool is None:
        return {}
    pool = aks.pools[aks.scan_pool]
    placement: dict[str, Any] = {"nodeSelector": {"agentpool": aks.scan_pool}}
    tolerations = [_toleration(taint) for taint in pool.all_taints if taint != SPOT_TAINT]
    if pool.spot:
        tolerations.append(_toleration(SPOT_TAINT))
    if tolerations:
        placement["tolerations"] = tolerations
    if pool.has_gpu:
        placement["resources"] = {"limits": {"nvidia.com/gpu": 1}}
    return placement


def _toleration(taint: str) -> dict[str, str]:
    key, _, effect = taint.rpartition(":")
    key, equals, value = key.partition("=")
    if not equals:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, Mapping):
            merged[key] = _merge(under, value)
        else:
            merged[key] = value
    return merged
