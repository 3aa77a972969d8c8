"""Which pool, capabilities and priority a scan gets: rules over config names and gadgets."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from elastron.fleet.queueing import Priority

DEFAULT_POOL = "default"

#: An inline config is looked through this far; the longest stock config has 16 kB.
_INLINE_BYTES_MAX = 1 << 20
_CLASSNAME = re.compile(rb"<(?:\w+:)?classname\s*>\s*([^<\s]{1,200})\s*<")


class PoolRule(BaseModel):
    """Scans to which all that is given here applies; the first rule that fits is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    configs: tuple[str, ...] = Field(
        (),
        description="Patterns of config names (`*`, `?`, `[abc]`; upper and lower case differ), "
        "one of which must match. Empty: any config.",
    )
    gadgets: tuple[str, ...] = Field(
        (),
        description="Patterns of class names; one gadget of a config sent by value must match one "
        "of them. Configs asked for by name never match. Empty: not looked at.",
    )
    tenants: tuple[str, ...] = Field(
        (), description="Patterns of tenant names, one of which must match. Empty: any tenant."
    )
    pool: str = Field(DEFAULT_POOL, min_length=1, description="Pool whose nodes take the scan.")
    needs: frozenset[str] = Field(
        frozenset(), description="Capabilities a node must have, e.g. `gpu`."
    )
    priority: Priority = Field(
        Priority.INLINE, description="`inline` (a patient waits) goes before `offline`."
    )


@dataclass(frozen=True, slots=True)
class Class:
    """What the rules say of one scan."""

    pool: str = DEFAULT_POOL
    needs: frozenset[str] = field(default_factory=frozenset)
    priority: Priority = Priority.INLINE


def classify(
    rules: tuple[PoolRule, ...],
    *,
    config_name: str = "",
    config_xml: bytes | None = None,
    tenant: str = "",
) -> Class:
    """Pool, needs and priority of a scan: those of the first rule that fits.

    Args:
        rules: in order.
        config_name: as the client asked for it; empty for a config by value.
        config_xml: the config by value.
        tenant: whose scan it is; empty for nobody's in particular.
    """
    gadgets: list[str] | None = None
    for rule in rules:
        if rule.tenants and not _any_match([tenant], rule.tenants):
            continue
        if rule.configs and not (config_name and _any_match([config_name], rule.configs)):
            continue
        if rule.gadgets:
            if gadgets is None:
                gadgets = _gadgets(config_xml or b"")
            if not _any_match(gadgets, rule.gadgets):
                continue
        return Class(rule.pool, rule.needs, rule.priority)
    return Class()


def _any_match(names: list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _gadgets(xml: bytes) -> list[str]:
    """Class names in a config, roughly: it is not parsed, and commented ones count too."""
    found = _CLASSNAME.findall(xml, 0, _INLINE_BYTES_MAX)
    return [name.decode("utf-8", "replace") for name in found]
