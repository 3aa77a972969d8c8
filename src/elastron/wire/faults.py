"""How a node says that the node failed, and not the scan.

A Gadgetron server reports every error as a TEXT, `[location] ERROR: words`, then CLOSE. Whether
the same scan would succeed on another node cannot be seen in it. So an Elastron node begins its
words, where the fault is its own, with one of the sentences below; a gateway that reads one
replays the scan elsewhere, and passes on everything else. Upstream Gadgetrons never say them.
"""

from __future__ import annotations

from enum import StrEnum

#: Where the Gadgetron reports errors that belong to no gadget; the only place of a fault.
LOCATION = "Connection Main Thread"


class Fault(StrEnum):
    """What befell a node; the value is how its words to the client begin."""

    WORKER_LOST = "the reconstruction process died"
    NODE_FULL = "node is full"
    NODE_DRAINING = "node is draining"
    NODE_STOPPED = "node is being stopped"

    @property
    def suspect(self) -> bool:
        """The scan's own data may be the cause."""
        return self is Fault.WORKER_LOST


def fault_words(fault: Fault, detail: str = "") -> str:
    """What a node says of its fault; `detail` follows directly."""
    return fault.value + detail


def fault_of(text: str) -> Fault | None:
    """The fault a node's TEXT tells of; None if it is about the scan, or no error."""
    head, _, words = text.partition(" ERROR: ")
    if head != f"[{LOCATION}]":
        return None
    return next((fault for fault in Fault if words.startswith(fault.value)), None)


def is_error(text: str) -> bool:
    """Whether a node's TEXT is an error and not merely information."""
    return text.startswith("[") and "] ERROR: " in text
