"""Who is next: order of the waiting scans, and which of them gets which free node."""

from __future__ import annotations

from enum import StrEnum


class Priority(StrEnum):
    """How urgent a scan is."""

    INLINE = "inline"  # a patient waits at the scanner
    OFFLINE = "offline"  # nobody waits: research, reconstruction once more
