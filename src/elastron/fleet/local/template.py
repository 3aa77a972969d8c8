"""What the nodes of a pool are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elastron.fleet.local.folder import digest


@dataclass(frozen=True, slots=True)
class NodeTemplate:
    """What the nodes of a pool are.

    Attributes:
        settings: of `elastron node`; its addresses should ask for free ports.
        capabilities: what they can do beyond the common.
        lease_s: how long a node goes on alone.
        drain_s: how long its own drain may take.
    """

    settings: Mapping[str, Any]
    capabilities: frozenset[str] = frozenset()
    lease_s: float = 600.0
    drain_s: float = 3600.0

    @property
    def digest(self) -> str:
        """Equal for nodes that can stand in for each other."""
        capabilities = sorted(self.capabilities)
        return digest(
            {"settings": self.settings, "capabilities": capabilities, "lease_s": self.lease_s}
        )
