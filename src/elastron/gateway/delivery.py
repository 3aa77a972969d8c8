"""Exactly once: which of a node's messages the client has already.

A replayed scan gives the same messages again, perhaps in another order, perhaps with other bits
in the last places. So a message is known by its kind and identity (an image's header), and those
of one identity by how many there are. Where messages of one identity differ in content, content
decides which of them the client has; only if the content is new too, the count does. Should the
count turn out to have been wrong (a message of known content comes, and there is no place left
for it), one that the client lacks was held for one that it has: the attempt is `incomplete`, and
one more replay, which then goes by content, brings it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from elastron.wire.framing import Frame

#: Messages remembered: 24 bytes each, 700 once the scan is replayed. Long dynamic series have
#: some 10,000 images.
MESSAGES_MAX = 250_000


@dataclass(slots=True)
class _Group:
    """Messages of one kind and identity.

    Attributes:
        delivered: how often each content went to the client.
        matched: the same of the present attempt, those the client had included.
        counted: of the present attempt, taken for one that the client has by their number.
        by_content: the count has been wrong before.
    """

    delivered: Counter[int] = field(default_factory=Counter)
    matched: Counter[int] = field(default_factory=Counter)
    counted: int = 0
    by_content: bool = False

    def take(self, content: int) -> bool:
        if self.matched[content] < self.delivered[content]:
            self.matched[content] += 1
            return False
        if not self.by_content and self._seen < self.delivered.total():
            self.counted += 1
            return False
        self.delivered[content] += 1
        self.matched[content] += 1
        return True

    @property
    def _seen(self) -> int:
        return self.matched.total() + self.counted

    @property
    def overfull(self) -> bool:
        """More were held for the client's than it has: some of them were not."""
        return self._seen > self.delivered.total()

    def begin(self) -> None:
        self.by_content = self.by_content or self.overfull
        self.matched.clear()
        self.counted = 0


class Delivery:
    """What one scan's client has been given.

    Args:
        messages_max: remembered; a scan that gives more cannot be replayed any more.
    """

    def __init__(self, messages_max: int = MESSAGES_MAX) -> None:
        self._messages_max = messages_max
        # As long as there was no replay this is all: 24 bytes a message, no dictionary.
        self._log = array("Q")
        self._groups: dict[tuple[int, int], _Group] | None = None
        self._delivered = 0

    @property
    def delivered(self) -> int:
        """Messages given to the client."""
        return self._delivered

    @property
    def replayable(self) -> bool:
        """All that was delivered is remembered."""
        return self._delivered <= self._messages_max

    @property
    def incomplete(self) -> bool:
        """The present attempt, at its end: the client still lacks messages that it has given."""
        return any(group.overfull for group in (self._groups or {}).values())

    def new_attempt(self) -> None:
        """Another node begins the scan from its beginning."""
        if self._groups is None:
            self._groups = {}
            log = self._log
            for at in range(0, len(log), 3):
                group = self._groups.setdefault((log[at], log[at + 1]), _Group())
                group.delivered[log[at + 2]] += 1
            self._log = array("Q")
        for group in self._groups.values():
            group.begin()

    def take(self, frame: Frame) -> bool:
        """A whole message of the present attempt.

        Args:
            frame: made with digests.

        Returns:
            True: give it to the client. False: it has it.
        """
        if self._groups is None:
            if self._delivered < self._messages_max:
                self._log.extend((frame.message_id, frame.identity, frame.content))
            self._delivered += 1
            return True
        group = self._groups.setdefault((frame.message_id, frame.identity), _Group())
        fresh = group.take(frame.content)
        self._delivered += fresh
        return fresh
