"""What a cluster costs a month, by a table of prices that can be refreshed.

An estimate, not an offer: list prices, no discounts, no taxes, and no traffic out of Azure.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from importlib import resources as package_files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elastron.cloud.azure.description import SYSTEM_POOL, Aks
from elastron.cloud.azure.description_parts import OsDisk, Pool, SystemPool
from elastron.cloud.azure.description_services import Autoscaler, Metrics, Redundancy, Share, Tier
from elastron.cloud.azure.names import same_place
from elastron.cloud.azure.sizes import read_size
from elastron.errors import ConfigError

HOURS_A_MONTH = 730
"""As Azure's own calculator counts."""
_DAYS_A_MONTH = HOURS_A_MONTH / 24
_FILE_BYTES_MAX = 4 << 20

# Managed disks are sold by size: GiB up to which each is enough ("Select a disk type").
_DISKS = {32: "P4", 64: "P6", 128: "P10", 256: "P15", 512: "P20", 1024: "P30", 2048: "P40"}
# What AKS takes where no size is said, by the machine's cores ("Node storage").
_DEFAULT_DISKS = ((7, 128), (15, 256), (63, 512), (10_000, 1024))


class PriceTable(BaseModel):
    """Prices of one location on one day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str = Field(pattern=r"^[A-Z]{3}$", description="Such as EUR.")
    location: str = Field(description="Where they hold, such as westeurope.")
    date: datetime.date = Field(description="When they held.")
    source: str = Field(default="", max_length=1000, description="Where they are from.")
    prices: dict[str, float] = Field(
        description="By key: `vm/SIZE` and `spot/SIZE` an hour, `disk/P10` a month, "
        "`cluster/Standard`, `load-balancer`, `address`, `vpn/SKU` an hour, `registry/TIER` a "
        "day, `logs` a GB, `metrics` ten million samples, `blobs/LRS` and `shares/smb-LRS` a GB "
        "and month.",
    )


@dataclass(frozen=True)
class Usage:
    """What nobody can know beforehand, and is assumed.

    Attributes:
        logs_gb: of logs a month; the first 5 GB cost nothing.
        blobs_gb: kept as blobs.
        shared_gb: in shared volumes; the default is what the chart asks for.
        samples_millions: of metrics a month, for the managed Prometheus.
    """

    logs_gb: float = 30
    blobs_gb: float = 100
    shared_gb: float = 320
    samples_millions: float = 500


@dataclass(frozen=True)
class Line:
    """One thing that is paid for.

    Attributes:
        what: for people.
        key: in the table.
        least: units a month at the pools' minimum.
        most: units a month at the pools' maximum.
        price: of one unit; None: not in the table.
        assumed: whether the quantity is an assumption of `Usage`.
    """

    what: str
    key: str
    least: float
    most: float
    price: float | None
    assumed: bool = False

    @property
    def month_min(self) -> float | None:
        """Cost of a month at the pools' minimum."""
        return self._cost(self.least)

    @property
    def month_max(self) -> float | None:
        """Cost of a month at the pools' maximum, all of it."""
        return self._cost(self.most)

    def _cost(self, units: float) -> float | None:
        if units == 0:
            return 0.0
        return None if self.price is None else self.price * units


@dataclass(frozen=True)
class Estimate:
    """What a cluster costs a month.

    Attributes:
        lines: what is paid for.
        table: the prices, with currency, place and date.
        location: of the cluster.
    """

    lines: tuple[Line, ...]
    table: PriceTable
    location: str

    @property
    def month_min(self) -> float:
        """All pools at their minimum; without what has no price."""
        return sum(line.month_min or 0 for line in self.lines)

    @property
    def month_max(self) -> float:
        """All pools at their maximum, day and night; without what has no price."""
        return sum(line.month_max or 0 for line in self.lines)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Keys that the table lacks."""
        missing = [line.key for line in self.lines if line.price is None and line.most > 0]
        return tuple(dict.fromkeys(missing))

    @property
    def elsewhere(self) -> bool:
        """Whether the prices are of another place than the cluster."""
        return not same_place(self.table.location, self.location)


def load_prices(path: Path | None = None) -> PriceTable:
    """The table of a file, or the one that comes with Elastron.

    Raises:
        ConfigError: the file cannot be read, or is no table of prices.
    """
    try:
        if path is None:
            text = (package_files.files("elastron.cloud.azure") / "prices.json").read_text("utf-8")
        elif path.stat().st_size > _FILE_BYTES_MAX:
            raise ConfigError(f"{path} is too large for a table of prices.")
        else:
            text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        return PriceTable.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path} is no table of prices ({where}: {first['msg']}); "
            "`elastron aks prices` writes one."
        ) from error


def estimate(aks: Aks, table: PriceTable, usage: Usage | None = None) -> Estimate:
    """What a cluster costs a month.

    Args:
        aks: the description; its own `prices` win over the table's.
        table: prices.
        usage: what is assumed.
    """
    prices = {**table.prices, **aks.prices}
    lines = [
        Line(what, key, least, most, prices.get(key), assumed)
        for what, key, least, most, assumed in [
            *_pool_items(SYSTEM_POOL, aks.system_pool, aks.system_pool.min),
            *(
                item
                for name, pool in aks.pools.items()
                for item in _pool_items(name, pool, _least(aks, name))
            ),
            *_fixed_items(aks),
            *_used_items(aks, usage or Usage()),
        ]
    ]
    return Estimate(tuple(lines), table, aks.location)


_Item = tuple[str, str, float, float, bool]


def _least(aks: Aks, name: str) -> int:
    """Machines that run though nobody scans: only KEDA takes the fleet's last pod away."""
    is_held = name == aks.scan_pool and aks.fleet.install and aks.autoscaler is not Autoscaler.KEDA
    return max(aks.pools[name].min, 1 if is_held else 0)


def _pool_items(name: str, pool: SystemPool | Pool, least: int) -> list[_Item]:
    is_spot = isinstance(pool, Pool) and pool.spot
    kind = "spot" if is_spot else "vm"
    hours = (least * HOURS_A_MONTH, pool.max * HOURS_A_MONTH)
    machines = f"{least} to {pool.max} {pool.vm_size}{' (spot)' if is_spot else ''}"
    items: list[_Item] = [
        (f"pool {name}: {machines}", f"{kind}/{pool.vm_size}", *hours, False),
    ]
    if pool.os_disk is OsDisk.MANAGED:
        disk = _disk(pool)
        items.append((f"pool {name}: system disks", f"disk/{disk}", least, pool.max, False))
    return items


def _disk(pool: SystemPool | Pool) -> str:
    size = pool.os_disk_gb
    if size is None:
        parts = read_size(pool.vm_size)
        cores = parts.cores if parts is not None else 0
        size = next(size for most, size in _DEFAULT_DISKS if cores <= most)
    return next(disk for most, disk in _DISKS.items() if size <= most)


def _fixed_items(aks: Aks) -> list[_Item]:
    """What runs all day, however many machines there are."""
    hours = float(HOURS_A_MONTH)
    items: list[_Item] = []
    if aks.tier is Tier.STANDARD:
        items.append(("Kubernetes API with service level", "cluster/Standard", hours, hours, False))
    if aks.fleet.install:
        # Its database: 20 GiB of the cluster's default class.
        items.append(("storage server's disk", "disk/E4", 1, 1, False))
    items.append(("load balancer", "load-balancer", hours, hours, False))
    # One for what leaves the cluster; doors of the fleet may share it or get their own.
    items.append(("public address", "address", hours, hours, False))
    if aks.vpn is not None:
        items.append((f"VPN gateway {aks.vpn.sku}", f"vpn/{aks.vpn.sku}", hours, hours, False))
        items.append(("VPN gateway's address", "address", hours, hours, False))
    if aks.registry is not None:
        tier = aks.registry.tier.value
        days = (_DAYS_A_MONTH, _DAYS_A_MONTH)
        items.append((f"registry ({tier})", f"registry/{tier}", *days, False))
    return items


def _used_items(aks: Aks, usage: Usage) -> list[_Item]:
    """What is paid by use."""
    items: list[_Item] = []
    if aks.monitoring.logs:
        cap = aks.monitoring.daily_cap_gb
        logs = usage.logs_gb if cap is None else min(usage.logs_gb, cap * _DAYS_A_MONTH)
        paid = max(0.0, logs - 5)
        items.append((f"logs: {logs:g} GB", "logs", paid, paid, True))
    if aks.monitoring.metrics is Metrics.MANAGED:
        tens = usage.samples_millions / 10
        text = f"metrics: {usage.samples_millions:g} million samples"
        items.append((text, "metrics", tens, tens, True))
    copies = aks.storage.redundancy.value
    gb = usage.blobs_gb
    items.append((f"blobs: {gb:g} GB ({copies})", f"blobs/{copies}", gb, gb, True))
    if aks.storage.share is not Share.NONE:
        is_nfs = aks.storage.share is Share.NFS
        shared = max(100.0, usage.shared_gb) if is_nfs else usage.shared_gb  # NFS: 100 at least
        if is_nfs and aks.storage.redundancy is not Redundancy.ZRS:
            copies = "LRS"
        key = f"shares/{aks.storage.share.value}-{copies}"
        items.append((f"shared volumes: {shared:g} GB", key, shared, shared, True))
    return items


def estimate_json(result: Estimate) -> dict[str, Any]:
    """An estimate as JSON values; money rounded to cents."""
    return {
        "currency": result.table.currency,
        "monthMin": round(result.month_min, 2),
        "monthMax": round(result.month_max, 2),
        "pricesOf": {
            "location": result.table.location,
            "date": result.table.date.isoformat(),
            "source": result.table.source,
        },
        "unknown": list(result.unknown),
        "lines": [
            {
                "what": line.what,
                "key": line.key,
                "price": line.price,
                "monthMin": None if line.month_min is None else round(line.month_min, 2),
                "monthMax": None if line.month_max is None else round(line.month_max, 2),
                "assumed": line.assumed,
            }
            for line in result.lines
        ],
    }


def table_json(table: PriceTable) -> str:
    """The text of a file of prices."""
    return json.dumps(table.model_dump(mode="json"), indent=1, sort_keys=False) + "\n"
