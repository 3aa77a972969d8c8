"""What an operator has asked of a fleet: pools held at a number of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from elastron.fleet.local.folder import StateFolder
from elastron.fleet.settings import NODES_MAX

_POOLS_MAX = 64


def read_pins(folder: StateFolder) -> dict[str, int]:
    """Nodes by pool; what cannot be read counts as not said."""
    value = folder.read(folder.scale_file)
    if not isinstance(value, dict):
        return {}
    pins = {pool: count for pool, count in list(value.items())[:_POOLS_MAX] if _is_count(count)}
    return {str(pool): count for pool, count in pins.items()}


def write_pins(folder: StateFolder, pins: Mapping[str, int]) -> None:
    """Hold these pools, and no others; `elastron up` looks several times a second."""
    folder.write(folder.scale_file, dict(pins))


def write_pools(folder: StateFolder, pools: Iterable[str]) -> None:
    """Say which pools the fleet has."""
    folder.write(folder.path / "pools.json", sorted(pools))


def read_pools(folder: StateFolder) -> list[str]:
    """The pools of the fleet."""
    value = folder.read(folder.path / "pools.json")
    return [str(pool) for pool in value[:_POOLS_MAX]] if isinstance(value, list) else []


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NODES_MAX
