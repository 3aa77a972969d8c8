"""What `elastron up` was asked for, as settings of gateway, pools, nodes and storage. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elastron.errors import ConfigError
from elastron.fleet.local.template import NodeTemplate
from elastron.fleet.settings import FleetSettings, PoolSettings
from elastron.gateway.pools import PoolRule
from elastron.gateway.settings import GatewaySettings
from elastron.node import NodeSettings

_LOOPBACK = "127.0.0.1:0"
_LISTS = ("configs", "capabilities")
_POOL_KEYS = ("name", "min", "max", "capacity", "memory", *_LISTS)


@dataclass(frozen=True, slots=True)
class PoolWish:
    """What the command line says of the one pool, or of a pool by name; None: not said."""

    min: int | None = None
    max: int | None = None
    capacity: int | None = None


def parse_pool(text: str) -> dict[str, Any]:
    """Read `name=gpu,min=0,max=2,configs=*_gpu.xml+Spiral*`, as given to `--pool`.

    Raises:
        ConfigError: it is not of this form.
    """
    values: dict[str, Any] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or key not in _POOL_KEYS or not value or key in values:
            raise ConfigError(
                f"--pool {text!r}: {part!r} is not KEY=VALUE with one of {', '.join(_POOL_KEYS)}, "
                "each once; configs and capabilities are separated by +."
            )
        values[key] = value.split("+") if key in _LISTS else value
    if "name" not in values:
        raise ConfigError(f"--pool {text!r} has no name=NAME.")
    if "memory" in values:
        values["memory_bytes_max"] = values.pop("memory")
    return values


def plan_fleet(
    *, file: FleetSettings | None, pools: Sequence[str], wish: PoolWish, cores: int
) -> FleetSettings:
    """Pools from a file, from `--pool`, or one for this machine.

    Args:
        file: what `fleet.yaml` says.
        pools: texts of `--pool`.
        wish: --min, --max and --capacity; for one pool only.
        cores: of this machine; together the nodes of a pool run that many scans by default.

    Raises:
        ConfigError: they contradict each other, or a value is not allowed.
    """
    if file is not None and pools:
        raise ConfigError("Pools stand in the fleet's file or in --pool, not in both.")
    given: Mapping[str, Any] = {}
    if file is not None:
        given = {name: pool.model_dump(exclude_unset=True) for name, pool in file.pools.items()}
    elif pools:
        parsed = [parse_pool(text) for text in pools]
        given = {each.pop("name"): each for each in parsed}
        if len(given) < len(parsed):
            raise ConfigError("Two --pool have the same name.")
    tables = {name: dict(each) for name, each in given.items()} or {"default": {}}
    said = {"min": wish.min, "max": wish.max, "capacity": wish.capacity}
    said = {key: value for key, value in said.items() if value is not None}
    if said and len(tables) > 1:
        raise ConfigError(
            "--min, --max and --capacity are for a fleet of one pool; say for each pool what it "
            "shall have."
        )
    values = {} if file is None else file.model_dump(exclude={"pools"}, exclude_unset=True)
    try:
        for table in tables.values():
            table.update(said)
            by_cores = math.ceil(cores / int(table.get("capacity", 1)))
            table.setdefault("max", max(1, by_cores, int(table.get("min", 1))))
        return FleetSettings.model_validate({**values, "pools": tables})
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"The fleet: {_first(error)}") from error


def plan_gateway(
    settings: GatewaySettings, fleet: FleetSettings, *, nodes_file: Path, journal: Path
) -> GatewaySettings:
    """Settings of the gateway in front of the fleet's nodes.

    Args:
        settings: as asked for.
        fleet: its pools become rules, after those of `settings`.
        nodes_file: where the backend lists the nodes.
        journal: folder for what does not fit the memory, unless `settings` name one.
    """
    nodes = (*settings.registry.nodes, f"file:{nodes_file}")
    changes: dict[str, Any] = {
        "registry": settings.registry.model_copy(update={"nodes": nodes}),
        "pools": (*settings.pools, *_rules(fleet)),
        # Whoever looks after the fleet asks there; it is on loopback.
        "admin": settings.admin or _LOOPBACK,
    }
    if settings.journal.folder is None:
        changes["journal"] = settings.journal.model_copy(update={"folder": journal})
    return settings.model_copy(update=changes)


def _rules(fleet: FleetSettings) -> list[PoolRule]:
    rules = [
        PoolRule.model_validate(
            {"pool": name, "configs": () if "*" in pool.configs else pool.configs}
        )
        # One that takes everything would leave nothing to those behind it.
        for name, pool in sorted(fleet.pools.items(), key=lambda item: "*" in item[1].configs)
    ]
    if all(rule.configs for rule in rules):  # somebody must take what nobody asked for
        rules.append(PoolRule.model_validate({"pool": rules[0].pool}))
    return rules


def plan_nodes(
    settings: NodeSettings,
    fleet: FleetSettings,
    *,
    storage_url: str | None,
    gateway_admin: str | None = None,
    lease_s: float = 0.0,
) -> dict[str, NodeTemplate]:
    """What the nodes of each pool are told.

    Args:
        settings: common to all nodes.
        fleet: its pools.
        storage_url: of the storage server, if there is one.
        gateway_admin: URL where nodes ask for peers, unless `settings` say whom.
        lease_s: how long a node goes on without `elastron up`.
    """
    return {
        name: NodeTemplate(
            settings=_node(settings, pool, storage_url, gateway_admin),
            capabilities=frozenset(pool.capabilities),
            lease_s=lease_s,
            drain_s=settings.drain_timeout_s,
        )
        for name, pool in fleet.pools.items()
    }


def _node(
    settings: NodeSettings, pool: PoolSettings, storage_url: str | None, gateway_admin: str | None
) -> dict[str, Any]:
    capabilities = settings.capabilities | frozenset(pool.capabilities)
    changes: dict[str, Any] = {
        "listen": _LOOPBACK,
        "admin": _LOOPBACK,
        "capacity": pool.capacity,
        "storage_url": storage_url,
    }
    if gateway_admin is not None and not settings.peers.model_fields_set:
        changes["peers"] = settings.peers.model_copy(update={"gateway_admin": gateway_admin})
    if pool.memory_bytes_max is not None:
        share = int(pool.memory_bytes_max) // pool.capacity
        limit = settings.session_memory_bytes_max
        changes["session_memory_bytes_max"] = share if limit is None else min(limit, share)
    node = settings.model_copy(update=changes).model_dump(mode="json")
    return node | {"capabilities": sorted(capabilities)}


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    return str(error)
