"""Clocks for the stand-in and the client that talks to it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that pass as the test wants."""

    def now(self) -> float:
        """Seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class VirtualClock:
    """Time passes only by sleeping: nothing waits, and everything repeats exactly."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.time += seconds


class FastClock:
    """The machine's clock, so many times faster: for a client in another process."""

    def __init__(self, times: float = 1000.0) -> None:
        self.times = times

    def now(self) -> float:
        return time.monotonic() * self.times

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.times)
