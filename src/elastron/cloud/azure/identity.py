"""Who acts: the cluster itself, and the storage server inside it. Neither has a password."""

from __future__ import annotations

from elastron.cloud.azure.build import in_group, resource_id, role
from elastron.cloud.azure.chart_values import fleet_fullname
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.names import derived
from elastron.cloud.azure.network import nodes_subnet_id
from elastron.cloud.azure.resource import Facts, Later, Resource

_KIND = "Microsoft.ManagedIdentity/userAssignedIdentities"
KUBELET = Later("cluster", "properties.identityProfile.kubeletidentity.objectId")
"""Who pulls images and mounts shares on the nodes; made with the cluster."""


def cluster_identity_id(aks: Aks, facts: Facts) -> str:
    """Full id of the cluster's identity."""
    return resource_id(aks, facts, _KIND, derived(aks.name, "-cluster", 128))


def identity_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The identities, and the cluster's right to put load balancers into the subnet.

    The cluster's identity is made before the cluster, so that it has its rights when it starts.
    """
    return [
        in_group(
            aks, facts, "identity/cluster", _KIND, derived(aks.name, "-cluster", 128), body={}
        ),
        in_group(
            aks, facts, "identity/storage", _KIND, derived(aks.name, "-storage", 128), body={}
        ),
        role(
            aks,
            facts,
            "role/cluster-network",
            "Network Contributor",
            principal=Later("identity/cluster", "properties.principalId"),
            scope_id=nodes_subnet_id(aks, facts),
        ),
    ]


def federation_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The storage server's service account may act as the storage identity."""
    subject = f"system:serviceaccount:{aks.fleet.namespace}:{fleet_fullname(aks)}-storage"
    name = f"{derived(aks.name, '-storage', 128)}/{aks.fleet.namespace}-{aks.fleet.release}"
    return [
        in_group(
            aks,
            facts,
            "identity/storage/federation",
            f"{_KIND}/federatedIdentityCredentials",
            name,
            body={
                "properties": {
                    "issuer": Later("cluster", "properties.oidcIssuerProfile.issuerURL"),
                    "subject": subject,
                    "audiences": ["api://AzureADTokenExchange"],
                }
            },
            placed=False,
        )
    ]
