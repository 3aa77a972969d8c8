"""How long to wait before something that crashed is started again."""

from __future__ import annotations

#: After the first crash at once, then ever later: a broken installation must not burn a core.
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: Who has run so long has shown that it can.
STEADY_S = 60.0


class Backoff:
    """Crashes in a row, and when the next start is due. The clock is the caller's (s)."""

    def __init__(self) -> None:
        self.crashes = 0
        self._due = 0.0

    def crashed(self, now: float, ran_s: float) -> float:
        """Count a crash of what had run for `ran_s`; the pause until the next start (s)."""
        if ran_s >= STEADY_S:
            self.crashes = 0
        pause_s = PAUSES_S[min(self.crashes, len(PAUSES_S) - 1)]
        self.crashes += 1
        self._due = max(self._due, now + pause_s)
        return pause_s

    def ready(self, now: float) -> bool:
        """Whether a start is due."""
        return now >= self._due
