"""How a session can end."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """Label `outcome` of the metrics, and word of the log."""

    OK = "ok"  # everything was reconstructed and sent
    ERROR = "error"  # the client was told of an error
    LOST = "lost"  # the client went away
    TIMEOUT = "timeout"  # it was silent, or the session lasted, too long
    CANCELLED = "cancelled"  # by an operator, or because the node stops
    CRASHED = "crashed"  # the worker process died
