"""Waiting for what others do, on a machine that may stand still."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: More than this passes between two looks only where the machine stood still.
_STEP_S_MAX = 5.0
_PAUSE_S = 0.01


class Patience:
    """So many seconds to wait; time in which nobody could do anything hardly counts.

    Args:
        seconds: to wait.
    """

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds
        self._before = time.monotonic()

    def lasts(self) -> bool:
        """Whether to look once more; to be asked between two looks."""
        now = time.monotonic()
        self._left_s -= min(now - self._before, _STEP_S_MAX)
        self._before = now
        return self._left_s > 0


def wait_for(found: Callable[[], Any], *, what: str, timeout_s: float = 60) -> Any:
    """What `found()` gives, once it is true."""
    patience = Patience(timeout_s)
    while not (value := found()):
        assert patience.lasts(), f"never came: {what}"
        time.sleep(_PAUSE_S)
    return value
