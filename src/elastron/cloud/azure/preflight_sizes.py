"""Whether a location has the machines of a description, and the subscription enough cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elastron.cloud.azure.description import SYSTEM_POOL, Aks
from elastron.cloud.azure.description_parts import OsDisk, Pool, SystemPool
from elastron.errors import CloudError, NotOfferedError, QuotaError

Json = Mapping[str, Any]

_ALL_CORES = "cores"
_SPOT_CORES = "lowPriorityCores"
_ASK = "ask for a higher limit (portal: Quotas, Compute)"


@dataclass(frozen=True)
class SizeFinding:
    """Something about sizes that would go wrong.

    Attributes:
        about: `size`, `zones` or `quota`.
        message: what is wrong and what to do.
        kind: of the error; None: a warning.
    """

    about: str
    message: str
    kind: type[CloudError] | None = None


@dataclass(frozen=True)
class _Need:
    """Nodes that a pool needs more than it has."""

    pool: str
    size: str
    cores: int
    now: int
    most: int


def judge_sizes(
    aks: Aks, sizes: Sequence[Json] | None, usages: Sequence[Json] | None, have: Mapping[str, int]
) -> Iterator[SizeFinding]:
    """What is wrong with the pools' sizes, zones and numbers. Pure.

    Args:
        aks: the description.
        sizes: that the location has; None: not known.
        usages: of cores there; None: not known.
        have: nodes that are there already, by pool.
    """
    if sizes is None:
        return
    by_name = {str(each.get("name", "")).lower(): each for each in sizes}
    needs: dict[str, list[_Need]] = {}
    pools: dict[str, Pool | SystemPool] = {SYSTEM_POOL: aks.system_pool, **aks.pools}
    for name, pool in pools.items():
        size = by_name.get(pool.vm_size.lower())
        problem = _size(aks, name, pool, size)
        if problem is not None:
            yield problem
            continue
        assert size is not None  # noqa: S101  - else there is a problem
        yield from _fits(name, pool, size)
        there = have.get(name, 0)
        need = _Need(
            name,
            pool.vm_size,
            int(float(_capability(size, "vCPUs") or 0)),
            max(0, pool.min - there),
            max(0, pool.max - there),
        )
        spot = isinstance(pool, Pool) and pool.spot
        for quota in [_SPOT_CORES] if spot else [_ALL_CORES, str(size.get("family", ""))]:
            needs.setdefault(quota.lower(), []).append(need)
    for usage in usages or ():
        quota = str((usage.get("name") or {}).get("value", "")).lower()
        if quota in needs:
            yield from _quota(aks, usage, needs[quota])


def _size(aks: Aks, name: str, pool: Pool | SystemPool, size: Json | None) -> SizeFinding | None:
    where = f"pool {name}: {pool.vm_size}"
    advice = (
        f"Those offered are told by az vm list-skus -l {aks.location} -o table; name one with "
        "`vm_size`, or choose another location."
    )
    if size is None:
        return SizeFinding(
            "size", f"{where} is not offered in {aks.location}. {advice}", NotOfferedError
        )
    closed: set[str] = set()
    for limit in size.get("restrictions") or ():
        if limit.get("type") == "Location":
            return SizeFinding(
                "size",
                f"{where} in {aks.location} is not open to this subscription "
                f"({limit.get('reasonCode')}). {advice}",
                NotOfferedError,
            )
        closed |= set((limit.get("restrictionInfo") or {}).get("zones") or ())
    offered = {zone for each in size.get("locationInfo") or () for zone in each.get("zones") or ()}
    absent = [zone for zone in pool.zones if zone not in offered - closed]
    if absent:
        usable = ", ".join(sorted(offered - closed)) or "none"
        return SizeFinding(
            "zones",
            f"{where} is not offered in zone {', '.join(absent)} of {aks.location}; usable zones: "
            f"{usable}. Leave `zones` out, or name these.",
            NotOfferedError,
        )
    return None


def _fits(name: str, pool: Pool | SystemPool, size: Json) -> Iterator[SizeFinding]:
    cores = int(float(_capability(size, "vCPUs") or 0))
    if 0 < cores < 2:
        yield SizeFinding(
            "size",
            f"pool {name}: {pool.vm_size} has {cores} core, and Kubernetes nodes need 2 at least.",
            NotOfferedError,
        )
    if (
        pool.os_disk is OsDisk.EPHEMERAL
        and _capability(size, "EphemeralOSDiskSupported") == "False"
    ):
        yield SizeFinding(
            "size",
            f"pool {name}: {pool.vm_size} has no disk of its own for `os_disk: ephemeral`; leave "
            "that out or choose a size with `d` in its name.",
            NotOfferedError,
        )
    if _capability(size, "CpuArchitectureType") == "Arm64":
        yield SizeFinding(
            "size",
            f"pool {name}: {pool.vm_size} has ARM processors; see that all images are made for "
            "them.",
        )
    gpus = int(float(_capability(size, "GPUs") or 0))
    if isinstance(pool, Pool) and pool.has_gpu and not gpus:
        yield SizeFinding(
            "size",
            f"pool {name}: {pool.vm_size} has no GPU, yet `gpu` is true.",
            NotOfferedError,
        )


def _quota(aks: Aks, usage: Json, needs: Sequence[_Need]) -> Iterator[SizeFinding]:
    limit, used = int(usage.get("limit") or 0), int(usage.get("currentValue") or 0)
    left = max(0, limit - used)
    label = str((usage.get("name") or {}).get("localizedValue") or usage["name"]["value"])
    stand = f"{label} in {aks.location}: limit {limit}, in use {used}, {left} left"
    now = sum(need.now * need.cores for need in needs)
    names = ", ".join(dict.fromkeys(need.pool for need in needs))
    if now > left:
        yield SizeFinding(
            "quota",
            f"{stand}, and the first nodes of {names} need {now}. Before you go on, {_ASK}, or "
            "choose smaller sizes, a smaller `min`, or another location.",
            QuotaError,
        )
        return
    never = [need for need in needs if need.most and need.cores > left]
    for need in never:
        yield SizeFinding(
            "quota",
            f"{stand}: not one node of pool {need.pool} ({need.size}, {need.cores} cores) could "
            f"start. Before you go on, {_ASK}, or leave the pool out.",
            QuotaError,
        )
    most = sum(need.most * need.cores for need in needs)
    if most > left and not never:
        yield SizeFinding(
            "quota",
            f"{stand}; {names} at their `max` would need {most}. They will stop growing before "
            f"that; {_ASK}.",
        )


def _capability(size: Json, name: str) -> str | None:
    for each in size.get("capabilities") or ():
        if each.get("name") == name:
            return str(each.get("value"))
    return None
