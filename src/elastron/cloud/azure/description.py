"""The one description of a cluster on Azure, from which everything else is made.

    name: mrrecon
    location: westeurope
    pools:
      userpool: {vm_size: Standard_D8s_v5, max: 20}
      gpu: {vm_size: Standard_NC4as_T4_v3, max: 4}
    monitoring: {metrics: managed}

What is left out has the default that docs/reference/azure.md tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from elastron.cloud.azure.description_network import Network, Vpn, apart
from elastron.cloud.azure.description_parts import Part, Pool, SystemPool, Upgrades
from elastron.cloud.azure.description_services import (
    Access,
    Autoscaler,
    FleetPart,
    Metrics,
    Monitoring,
    Registry,
    Share,
    Storage,
    Tier,
)
from elastron.cloud.azure.names import (
    ClusterName,
    GroupName,
    Guid,
    KubernetesVersion,
    Location,
    PoolName,
    RegistryName,
    StorageAccountName,
    TagName,
    TagValue,
    check_name,
    derived,
)
from elastron.errors import ConfigError
from elastron.service.yaml_settings import parse_table, problems_of, read_settings

Price = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
SYSTEM_POOL = "system"
USER_POOL = "userpool"
_PROBLEMS_MAX = 10
_SMB_MINOR = 34  # its driver for Azure Files mounts SMB shares with the nodes' identity


class Aks(Part):
    """A cluster on Azure Kubernetes Service and all that belongs to it."""

    name: ClusterName = Field(description="Of the cluster; others' names are made from it.")
    location: Location = Field(
        default="westus2", description="Where everything is; the default is the original's."
    )
    resource_group: GroupName | None = Field(
        default=None, description="None: the cluster's name and `-rg`, as in the original."
    )
    subscription: Guid | None = Field(
        default=None, description="Id of the subscription. None: the one that is logged in."
    )
    tags: dict[TagName, TagValue] = Field(
        default_factory=dict,
        max_length=15,
        description="Of all resources, e.g. a cost centre; `elastron: NAME` comes by itself.",
    )
    kubernetes_version: KubernetesVersion | None = Field(
        default=None,
        description="Such as 1.34. None: the newest that Azure calls its default when the "
        "cluster is made; `upgrades` decides from then on.",
    )
    tier: Tier = Field(
        default=Tier.FREE,
        description="Free, or Standard: the Kubernetes API with a service level, for hospitals.",
    )
    access: Access = Field(
        default=Access.CERTIFICATE,
        description="certificate: `aks credentials` fetches a certificate for kubectl; entra: "
        "people log in as themselves (kubelogin), and the certificate is switched off.",
    )
    system_pool: SystemPool = Field(
        default=SystemPool(), description="Nodes for the cluster's own parts."
    )
    pools: dict[PoolName, Pool] = Field(
        default_factory=lambda: {USER_POOL: Pool()},
        max_length=99,
        description="Nodes for scans, by name.",
    )
    upgrades: Upgrades = Field(default=Upgrades(), description="When nodes may be replaced.")
    network: Network = Field(default=Network(), description="Addresses and doors.")
    storage: Storage = Field(default=Storage(), description="Blobs and shared volumes.")
    registry: Registry | None = Field(
        default=None, description="A container registry of one's own. None: none is made."
    )
    monitoring: Monitoring = Field(default=Monitoring(), description="Logs and metrics.")
    vpn: Vpn | None = Field(default=None, description="A VPN gateway. None: none is made.")
    fleet: FleetPart = Field(default=FleetPart(), description="What is installed into it.")
    prices: dict[str, Price] = Field(
        default_factory=dict,
        max_length=1000,
        description="Prices of a contract of one's own, by the keys of the table of prices, such "
        "as `vm/Standard_D8s_v5`; in its currency.",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_tables(cls, values: Any) -> Any:
        """`network:` with nothing behind it means one with all defaults."""
        if not isinstance(values, dict):
            return values
        filled = {
            key: {} if value is None and key in _TABLES else value for key, value in values.items()
        }
        pools = filled.get("pools")
        if isinstance(pools, dict):
            filled["pools"] = {k: {} if v is None else v for k, v in pools.items()}
        return filled

    @model_validator(mode="after")
    def _parts_agree(self) -> Aks:
        if SYSTEM_POOL in self.pools:
            raise ValueError(f"pools: `{SYSTEM_POOL}` is the name of the system pool")
        if "elastron" in {tag.lower() for tag in self.tags}:
            raise ValueError("tags: `elastron` is set by itself")
        if self.network.subnet is not None and self.vpn is not None:
            raise ValueError(
                "vpn: a gateway is made in a virtual network of its own; leave network.subnet out, "
                "or connect to that network by its own gateway"
            )
        if self.vpn is not None:
            apart(
                ("vpn.clients_range", self.vpn.clients_range),
                ("network.range", self.network.range),
                ("network.services_range", self.network.services_range),
                ("network.pods_range", self.network.pods_range),
            )
        if self.fleet.pool is not None and self.fleet.pool not in self.pools:
            known = ", ".join(self.pools) or "none"
            raise ValueError(f"fleet.pool: there is no pool {self.fleet.pool!r}; known: {known}")
        if self.autoscaler is Autoscaler.HPA and self.monitoring.metrics is not Metrics.CLUSTER:
            raise ValueError(
                "fleet.autoscaler: hpa needs the Prometheus in the cluster "
                "(monitoring.metrics: cluster); take keda, which asks the fleet itself"
            )
        version = self.kubernetes_version
        if version and self.storage.share is Share.SMB and int(version.split(".")[1]) < _SMB_MINOR:
            raise ValueError(
                f"storage.share: smb without account keys needs Kubernetes 1.{_SMB_MINOR}; ask for "
                "that, or for nfs"
            )
        checks: list[tuple[Any, str, str]] = [
            (StorageAccountName, "storage.account", self.storage_account)
        ]
        if self.storage.share is Share.NFS:
            checks.append((StorageAccountName, "storage.share_account", self.share_account))
        if self.registry is not None:
            checks.append((RegistryName, "registry.name", self.registry_name))
        for kind, key, name in checks:
            try:
                check_name(kind, name)
            except ValueError as error:
                raise ValueError(f"{key}, made from the name: {error}; give one of yours") from None
        return self

    @property
    def group(self) -> str:
        """Name of the resource group."""
        return self.resource_group or f"{self.name}-rg"[-90:]

    @property
    def node_group(self) -> str:
        """Name of the resource group in which AKS keeps the machines."""
        suffix = f"-{self.name}-nodes"  # a group may hold several clusters
        return self.group[: 80 - len(suffix)] + suffix

    @property
    def dns_prefix(self) -> str:
        """First part of the cluster's address."""
        return derived(self.name, "", 54)

    @property
    def storage_account(self) -> str:
        """Name of the storage account for blobs."""
        return self.storage.account or derived(self.name, "sa", 24, plain=True)

    @property
    def share_account(self) -> str:
        """Name of the storage account for shared volumes."""
        return self.storage.share_account or derived(self.name, "nfs", 24, plain=True)

    @property
    def registry_name(self) -> str:
        """Name of the registry."""
        name = self.registry.name if self.registry is not None else None
        return name or derived(self.name, "cr", 50, plain=True)

    @property
    def workspace(self) -> str:
        """Name of the Log Analytics workspace."""
        return self.monitoring.workspace or derived(self.name, "-logs", 63)

    @property
    def scan_pool(self) -> str | None:
        """Name of the pool whose nodes run scans; None: there is no user pool."""
        if self.fleet.pool is not None or not self.pools:
            return self.fleet.pool
        return USER_POOL if USER_POOL in self.pools else next(iter(self.pools))

    @property
    def autoscaler(self) -> Autoscaler:
        """Who scales the fleet's pods."""
        if self.fleet.autoscaler is not None:
            return self.fleet.autoscaler
        in_cluster = self.monitoring.metrics is Metrics.CLUSTER
        return Autoscaler.HPA if in_cluster else Autoscaler.KEDA

    @property
    def all_tags(self) -> dict[str, str]:
        """Tags of every resource."""
        return {"elastron": self.name, **self.tags}

    def to_yaml(self, *, defaults: bool = False) -> str:
        """The description as YAML; with `defaults`, what has its default as well."""
        values = self.model_dump(mode="json", exclude_defaults=not defaults)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


_TABLES = frozenset(
    name
    for name, field in Aks.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
)


def parse_aks(text: str, source: str = "the description") -> Aks:
    """A description from YAML.

    Args:
        text: YAML.
        source: named in errors.

    Raises:
        ConfigError: not YAML, an unknown key, or a value that Azure would refuse; says which.
    """
    return make_aks(parse_table(text, source, Aks), source)


def make_aks(values: dict[str, Any], source: str = "the description") -> Aks:
    """A description from plain values.

    Raises:
        ConfigError: an unknown key, or a value that Azure would refuse; says which.
    """
    try:
        return Aks.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(problems_of(error, Aks)[:_PROBLEMS_MAX])
        raise ConfigError(f"{source}: {problems}") from error


def load_aks(path: Path) -> Aks:
    """A description from a file.

    Raises:
        ConfigError: as `parse_aks`, and where the file cannot be read.
    """
    return parse_aks(read_settings(path), str(path))
