from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import CapacityError
from elastron.gateway.events import CLOSED, DROPPED, Events


async def test_each_subscriber_gets_what_is_published_while_it_listens():
    events = Events()
    events.publish("node", {"id": "before"})
    with events.subscribe() as first:
        events.publish("node", {"id": "a"})
        with events.subscribe() as second:
            events.publish("queue", {"queue": []})
            assert (await second.next()).kind == "queue"
        events.publish("session", {"id": "c"})
        kinds = [(await first.next()).kind for _ in range(3)]
    assert kinds == ["node", "queue", "session"]
    assert events.subscribers == 0


async def test_numbers_count_up_without_a_gap():
    events = Events()
    with events.subscribe() as subscription:
        for _ in range(3):
            events.publish("node", {})
        numbers = [(await subscription.next()).number for _ in range(3)]
    assert numbers == [1, 2, 3]


async def test_waiting_ends_with_the_next_event_and_survives_a_cancel():
    events = Events()
    with events.subscribe() as subscription:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(subscription.next(), 0.01)
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        events.publish("node", {"id": "a"})
        assert (await waiting).data == {"id": "a"}


async def test_who_does_not_keep_up_is_told_so_and_let_go():
    events = Events(queue_max=3)
    slow = events.subscribe()
    with events.subscribe() as quick:
        for number in range(5):
            events.publish("node", {"id": str(number)})
            assert (await quick.next()).data == {"id": str(number)}
        assert events.subscribers == 1
    last = [event async for event in slow]
    assert [event.kind for event in last] == [DROPPED]
    assert "read faster" in last[0].data["reason"]


async def test_no_more_than_the_limit_may_listen():
    events = Events(subscribers_max=2)
    first, _second = events.subscribe(), events.subscribe()
    with pytest.raises(CapacityError, match="2 listen to events already"):
        events.subscribe()
    first.close()
    events.subscribe()


async def test_the_end_is_told_to_everyone():
    events = Events()
    subscription = events.subscribe()
    events.publish("node", {})
    events.close()
    assert [event.kind async for event in subscription] == ["node", CLOSED]
    with pytest.raises(CapacityError, match="stopping"):
        events.subscribe()


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_a_subscriber_misses_nothing_or_is_told(steps: list[bool], queue_max: int):
    """Whatever the interleaving of publishing and reading: no gap before the last event."""

    async def run() -> None:
        events = Events(queue_max=queue_max)
        subscription = events.subscribe()
        published = 0
        seen = []
        waiting = 0
        dropped = False
        for publish in steps:
            if publish:
                events.publish("node", {})
                published += 1
                dropped = dropped or waiting == queue_max
                waiting += 1
            elif waiting and not dropped:
                seen.append(await subscription.next())
                waiting -= 1
        events.close()
        seen += [event async for event in subscription]
        *before, last = seen
        assert [event.number for event in before] == list(range(1, len(before) + 1))
        assert last.kind == (DROPPED if dropped else CLOSED)
        assert dropped or len(before) == published

    asyncio.run(run())
