"""What the chart helm/gadgetron is told, so that it uses what Azure has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_parts import Pool
from elastron.cloud.azure.description_services import Autoscaler, Metrics, Share
from elastron.cloud.azure.resource import Later, resolve
from elastron.cloud.azure.sizes import read_size
from elastron.service.yaml_settings import merge_tables

SHARE_CLASS = "elastron-shared"
"""Name of the class of volumes that several nodes share."""

_GPU_IMAGE = "ghcr.io/elastron/elastron-gpu"


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
        "autoscaling": _autoscaling(aks),
        "storage": {"storageClass": SHARE_CLASS if aks.storage.share is not Share.NONE else ""},
        "storageServer": {
            "blobs": f"azure://{aks.storage_account}/{aks.storage.containers[0]}",
            "storageAccountConnectionStringSecretName": "",
            "serviceAccountAnnotations": {"azure.workload.identity/client-id": client_id},
            "podLabels": {"azure.workload.identity/use": "true"},
        },
        "dashboard": {"enabled": aks.monitoring.metrics is Metrics.CLUSTER},
        **_fleet_pools(aks),
    }
    if aks.network.internal_load_balancer:
        values["service"] = {"type": "LoadBalancer", "internalLoadBalancer": True}
    return merge_tables(resolve(values, answers), aks.fleet.values)


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


def _autoscaling(aks: Aks) -> dict[str, Any]:
    values: dict[str, Any] = {"provider": aks.autoscaler.value}
    pool = None if aks.scan_pool is None else aks.pools[aks.scan_pool]
    if aks.autoscaler is Autoscaler.KEDA and pool is not None and pool.min == 0:
        values["keda"] = {"idleReplicas": 0}  # and so no machine while nobody scans
    return values


def _fleet_pools(aks: Aks) -> dict[str, Any]:
    """Where nodes of the fleet run, and how many there may be."""
    if aks.scan_pool is None:
        return {}
    pool = aks.pools[aks.scan_pool]
    values = _placement(aks.scan_pool, pool) | {"hpa": {"maxReplicas": pool.max * _pods(pool)}}
    if aks.autoscaler is not Autoscaler.KEDA:
        return values  # which never goes below one pod, and so one machine with a GPU
    further = [
        {
            "name": name,
            "image": {"repository": _GPU_IMAGE},
            "needs": ["gpu"],
            **_placement(name, other),
            "hpa": {"minReplicas": 0, "maxReplicas": other.max},
        }
        for name, other in aks.pools.items()
        if other.has_gpu and name != aks.scan_pool
    ]
    return values | ({"pools": further} if further else {})


def _placement(name: str, pool: Pool) -> dict[str, Any]:
    """On which machines pods run, what they tolerate there, and what they take."""
    taints = pool.all_taints
    return {
        "nodeSelector": {"agentpool": name},
        **({"tolerations": [_toleration(taint) for taint in taints]} if taints else {}),
        "resources": {"limits": {"nvidia.com/gpu": 1}}
        if pool.has_gpu
        else {"requests": {"cpu": str(_cores(pool))}},
    }


def _cores(pool: Pool) -> int:
    """Cores that a pod asks for: a quarter of its machine, or no machine would ever be added."""
    size = read_size(pool.vm_size)
    return max(1, size.cores // 4) if size is not None else 1


def _pods(pool: Pool) -> int:
    """Pods that find room on one machine, beside what AKS runs there."""
    size = read_size(pool.vm_size)
    if pool.has_gpu or size is None:
        return 1
    return max(1, (size.cores - 1) // _cores(pool))


def _toleration(taint: str) -> dict[str, str]:
    key, _, effect = taint.rpartition(":")
    key, equals, value = key.partition("=")
    if not equals:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}
