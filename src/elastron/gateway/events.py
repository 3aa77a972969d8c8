"""What changes in the gateway, told to whoever listens: bounded publish and subscribe.

A subscriber that does not keep up is told so by a last event and let go; it can come back for a
fresh snapshot. Publishing never waits. Everything runs in the gateway's event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from elastron.errors import CapacityError

#: Events that wait for one subscriber. A node's or a session's life is a dozen events; so many
#: are the changes of a busy minute.
QUEUE_MAX = 1024
#: Dashboards and scripts at once.
SUBSCRIBERS_MAX = 64

#: Last event of a subscriber that did not keep up, and of all when the gateway stops.
DROPPED = "dropped"
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Event:
    """One change.

    Attributes:
        number: counts up from 1; a gap means that something was missed.
        kind: `node`, `queue`, `session`, or a subscriber's last: `dropped`, `closed`.
        data: what JSON can hold, without patient data.
    """

    number: int
    kind: str
    data: Mapping[str, Any]


class Subscription:
    """One subscriber's events: an async iterator, and a context manager that ends it.

    Attributes:
        begun_at: number of the latest event before the first it gets.
    """

    def __init__(self, events: Events, queue_max: int) -> None:
        self.begun_at = events.number
        self._events = events
        self._queue: deque[Event] = deque()
        self._queue_max = queue_max
        self._something = asyncio.Event()
        self._ended = False

    def put(self, event: Event) -> bool:
        """Take an event; False if there is no room and the subscription has ended with it."""
        fits = len(self._queue) < self._queue_max or event.kind == CLOSED
        if not fits:
            waiting = len(self._queue)
            self._queue.clear()
            reason = f"{waiting} events were waiting: read faster, or connect anew"
            event = Event(event.number, DROPPED, {"reason": reason})
        self._queue.append(event)
        self._ended = self._ended or event.kind in (DROPPED, CLOSED)
        self._something.set()
        return fits

    async def next(self) -> Event | None:
        """The next event; None after the last. May be cancelled without losing one."""
        while not self._queue:
            if self._ended:
                return None
            self._something.clear()
            await self._something.wait()
        return self._queue.popleft()

    def close(self) -> None:
        """End the subscription."""
        self._ended = True
        self._something.set()
        self._events.forget(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Events:
    """The gateway's changes.

    Args:
        subscribers_max: at once.
        queue_max: events that may wait for one of them.
    """

    def __init__(
        self, *, subscribers_max: int = SUBSCRIBERS_MAX, queue_max: int = QUEUE_MAX
    ) -> None:
        self._subscribers_max = subscribers_max
        self._queue_max = queue_max
        self._subscriptions: set[Subscription] = set()
        self._number = 0
        self._closed = False

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return len(self._subscriptions)

    @property
    def number(self) -> int:
        """Of the latest event."""
        return self._number

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell everyone who listens; never waits.

        Args:
            kind: `node`, `queue` or `session`.
            data: not to be changed afterwards.
        """
        self._number += 1
        if not self._subscriptions:
            return
        event = Event(self._number, kind, data)
        for subscription in list(self._subscriptions):
            if not subscription.put(event):
                self._subscriptions.discard(subscription)

    def subscribe(self) -> Subscription:
        """Listen from now on.

        Raises:
            CapacityError: too many listen already, or the gateway stops.
        """
        if self._closed:
            raise CapacityError("the gateway is stopping; connect anew when it is back")
        if len(self._subscriptions) >= self._subscribers_max:
            raise CapacityError(
                f"{self._subscribers_max} listen to events already; close one, or ask /fleet, "
                "/queue and /sessions now and then"
            )
        subscription = Subscription(self, self._queue_max)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """A subscription has ended."""
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End all subscriptions, with a last event."""
        self._closed = True
        self._number += 1
        last = Event(self._number, CLOSED, {"reason": "the gateway is stopping"})
        for subscription in list(self._subscriptions):
            subscription.put(last)
        self._subscriptions.clear()
