"""How a node is, for whoever places scans: `GET /status` and the query `elastron::status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elastron.node.memory import available_bytes

if TYPE_CHECKING:
    from elastron.node.supervisor import Node


def status_of(node: Node) -> dict[str, Any]:
    """What may be known of a node; nothing of a scan itself.

    Returns:
        `capacity` (scans at once), `running`, `draining`, `ready` (a scan would be taken if a place
        is free), `capabilities`, `memory_bytes` (what all scans together may take) and `sessions`
        (connections that have spoken, those included that only wait for their clients to leave).
    """
    settings = node.settings
    memory_bytes = available_bytes()
    if settings.session_memory_bytes_max is not None:
        memory_bytes = min(memory_bytes, settings.capacity * settings.session_memory_bytes_max)
    return {
        "capacity": settings.capacity,
        "running": node.running,
        "draining": node.draining,
        "ready": node.unready_reason() is None,
        "capabilities": sorted(settings.capabilities),
        "memory_bytes": memory_bytes,
        "sessions": len(node.describe_sessions()),
    }
