"""The cluster, its pools, and when they may be upgraded."""

from __future__ import annotations

from elastron.cloud.azure.build import in_group, resource_id, role
from elastron.cloud.azure.description import SYSTEM_POOL, Aks
from elastron.cloud.azure.description_parts import Channel, GpuDriver, OsDisk, Pool, SystemPool
from elastron.cloud.azure.description_services import Access, Autoscaler, Metrics
from elastron.cloud.azure.identity import cluster_identity_id
from elastron.cloud.azure.monitoring import workspace_id
from elastron.cloud.azure.network import nodes_subnet_id
from elastron.cloud.azure.resource import Body, Facts, Json, Resource

CLUSTER_KIND = "Microsoft.ContainerService/managedClusters"
POOL_KIND = f"{CLUSTER_KIND}/agentPools"

# An upgrade waits so long for the pods of a node to leave: a scan of an hour (the chart's
# terminationGracePeriodSeconds) and what it takes beside. AKS's own default is half an hour.
_DRAIN_MINUTES = 75


def cluster_id(aks: Aks, facts: Facts) -> str:
    """Full id of the cluster."""
    return resource_id(aks, facts, CLUSTER_KIND, aks.name)


def cluster_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The cluster with its system pool, the windows for upgrades, the roles of people."""
    body: Body = {
        "sku": {"name": "Base", "tier": aks.tier.value},
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {cluster_identity_id(aks, facts): {}},
        },
        "properties": _properties(aks, facts),
    }
    system = f"properties.agentPoolProfiles[{SYSTEM_POOL}]"
    cluster = in_group(
        aks,
        facts,
        "cluster",
        CLUSTER_KIND,
        aks.name,
        body=body,
        initial=(
            # Where no version is asked for, the one of the first day is only a beginning.
            *(() if aks.kubernetes_version else ("properties.kubernetesVersion",)),
            "properties.dnsPrefix",
            "properties.nodeResourceGroup",
            f"{system}.count",
        ),
        fixed=(
            "properties.networkProfile.podCidr",
            "properties.networkProfile.serviceCidr",
            "properties.networkProfile.dnsServiceIP",
            "properties.networkProfile.loadBalancerSku",
            "properties.apiServerAccessProfile.enablePrivateCluster",
            *_fixed_of_pool(system),
        ),
        open_lists=("properties.agentPoolProfiles",),
        depends_on=("role/cluster-network",),
    )
    return [cluster, *_windows(aks, facts), *_people(aks, facts)]


def pool_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The user pools."""
    return [pool_resource(aks, facts, name) for name in aks.pools]


def pool_resource(aks: Aks, facts: Facts, name: str) -> Resource:
    """One user pool."""
    pool = aks.pools[name]
    properties: Body = {
        **_nodes(aks, facts, pool),
        "mode": "User",
        "scaleDownMode": "Delete",
        "nodeTaints": list(pool.all_taints),
        "nodeLabels": _labels(pool),
    }
    if pool.has_gpu:
        driver = "None" if pool.gpu_driver is GpuDriver.OPERATOR else "Install"
        properties["gpuProfile"] = {"driver": driver}
    if pool.spot:
        properties |= {
            "scaleSetPriority": "Spot",
            "scaleSetEvictionPolicy": "Delete",
            "spotMaxPrice": -1,  # up to the price of ordinary machines
        }
    else:
        properties["upgradeSettings"] = {"drainTimeoutInMinutes": _DRAIN_MINUTES}
    return in_group(
        aks,
        facts,
        f"pool/{name}",
        POOL_KIND,
        f"{aks.name}/{name}",
        body={"properties": properties},
        placed=False,
        initial=("properties.count",),
        fixed=(*_fixed_of_pool("properties"), "properties.scaleSetPriority"),
    )


def _labels(pool: Pool) -> dict[str, str]:
    # AKS puts this label on spot nodes by itself and answers it; said here, it is no difference.
    spot = {"kubernetes.azure.com/scalesetpriority": "spot"} if pool.spot else {}
    return {**spot, **pool.labels}


def _fixed_of_pool(path: str) -> tuple[str, ...]:
    names = ("vmSize", "osDiskType", "osDiskSizeGB", "availabilityZones", "vnetSubnetID", "osSKU")
    return tuple(f"{path}.{name}" for name in names)


def _nodes(aks: Aks, facts: Facts, nodes: SystemPool | Pool) -> Body:
    """What system and user pools share."""
    values: Body = {
        "type": "VirtualMachineScaleSets",
        "vmSize": nodes.vm_size,
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "osDiskType": "Ephemeral" if nodes.os_disk is OsDisk.EPHEMERAL else "Managed",
        "count": nodes.min,
        "enableAutoScaling": True,
        "minCount": nodes.min,
        "maxCount": nodes.max,
        "vnetSubnetID": nodes_subnet_id(aks, facts),
        "tags": aks.all_tags,
    }
    if aks.kubernetes_version is not None:
        values["orchestratorVersion"] = aks.kubernetes_version
    if nodes.os_disk_gb is not None:
        values["osDiskSizeGB"] = nodes.os_disk_gb
    if nodes.zones:
        values["availabilityZones"] = list(nodes.zones)
    return values


def _properties(aks: Aks, facts: Facts) -> Body:
    pool = aks.system_pool
    system: Body = {
        "name": SYSTEM_POOL,
        **_nodes(aks, facts, pool),
        "mode": "System",
    }
    values: Body = {
        "kubernetesVersion": aks.kubernetes_version or facts.kubernetes_version,
        "dnsPrefix": aks.dns_prefix,
        "nodeResourceGroup": aks.node_group,
        "enableRBAC": True,
        "disableLocalAccounts": aks.access is Access.ENTRA,
        "agentPoolProfiles": [system],
        "networkProfile": {
            "networkPlugin": "azure",
            "networkPluginMode": "overlay",
            # Cilium carries and polices traffic; the chart's NetworkPolicies need someone who does.
            "networkDataplane": "cilium",
            "networkPolicy": "cilium",
            "loadBalancerSku": "standard",
            "outboundType": "loadBalancer",
            "podCidr": aks.network.pods_range,
            "serviceCidr": aks.network.services_range,
            "dnsServiceIP": aks.network.dns_service_ip,
        },
        "apiServerAccessProfile": _door(aks),
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
        "storageProfile": {
            "diskCSIDriver": {"enabled": True},
            "fileCSIDriver": {"enabled": True},
            "snapshotController": {"enabled": True},
        },
        "autoUpgradeProfile": {
            "upgradeChannel": aks.upgrades.kubernetes.value,
            "nodeOSUpgradeChannel": "NodeImage" if aks.upgrades.node_image else "None",
        },
        "addonProfiles": {"omsagent": _logs(aks, facts)},
        "azureMonitorProfile": {"metrics": {"enabled": aks.monitoring.metrics is Metrics.MANAGED}},
        "workloadAutoScalerProfile": {"keda": {"enabled": aks.autoscaler is Autoscaler.KEDA}},
    }
    if aks.access is Access.ENTRA:
        values["aadProfile"] = {
            "managed": True,
            "enableAzureRBAC": True,
            "tenantID": facts.tenant_id,
        }
    return values


def _door(aks: Aks) -> Body:
    """Who may reach the Kubernetes API; ranges that someone set by hand are not taken away."""
    ranges = list(aks.network.authorized_ranges)
    told: Body = {"enablePrivateCluster": aks.network.private_cluster}
    return {**told, "authorizedIPRanges": ranges} if ranges else told


def _logs(aks: Aks, facts: Facts) -> Body:
    if not aks.monitoring.logs:
        return {"enabled": False}
    config: Json = {
        "logAnalyticsWorkspaceResourceID": workspace_id(aks, facts),
        "useAADAuth": "true",
    }
    return {"enabled": True, "config": config}


def _windows(aks: Aks, facts: Facts) -> list[Resource]:
    """When AKS may upgrade Kubernetes, and when the nodes' images."""
    upgrades = aks.upgrades
    window: Body = {
        "schedule": {"weekly": {"intervalWeeks": 1, "dayOfWeek": upgrades.day.value}},
        "durationHours": upgrades.hours,
        "utcOffset": upgrades.utc_offset,
        "startTime": upgrades.start,
    }
    names: list[str] = []
    if upgrades.kubernetes is not Channel.NONE:
        names.append("aksManagedAutoUpgradeSchedule")
    if upgrades.node_image:
        names.append("aksManagedNodeOSUpgradeSchedule")
    return [
        in_group(
            aks,
            facts,
            f"window/{name}",
            f"{CLUSTER_KIND}/maintenanceConfigurations",
            f"{aks.name}/{name}",
            body={"properties": {"maintenanceWindow": window}},
            placed=False,
        )
        for name in names
    ]


def _people(aks: Aks, facts: Facts) -> list[Resource]:
    if aks.access is not Access.ENTRA or facts.user_object_id is None:
        return []
    return [
        role(
            aks,
            facts,
            "role/cluster-admin",
            "Azure Kubernetes Service RBAC Cluster Admin",
            principal=facts.user_object_id,
            scope_id=cluster_id(aks, facts),
            principal_kind=facts.user_kind,
        )
    ]
