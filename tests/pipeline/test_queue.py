"""The bounded queue: its limit, its three endings, and no deadlock."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import ConnectionLostError, DataError, DeadlineError
from elastron.mrd.buffers import Bucket, DataBuffered, ImageArray, ReconBit, ReconData, Sampling
from elastron.mrd.meta import Meta
from elastron.pipeline.queue import ItemQueue, item_bytes
from elastron.wire.messages import Text


class Sized:
    def __init__(self, nbytes: int, number: int = 0) -> None:
        self.nbytes = nbytes
        self.number = number


def in_thread(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_what_waits_when_closed_is_delivered() -> None:
    queue = ItemQueue()
    items = [Sized(1), Sized(2), Text("x")]
    for item in items:
        assert queue.put(item)
    queue.close()
    assert list(queue) == items
    assert list(queue) == []
    assert queue.nbytes == 0


def test_put_waits_while_full_and_goes_on_when_taken() -> None:
    queue = ItemQueue(max_bytes=10)
    queue.put(Sized(10))
    done = []
    thread = in_thread(lambda: done.append(queue.put(Sized(1))))
    with pytest.raises(DeadlineError, match=r"took no data for 0\.01 s while 10 bytes wait"):
        queue.put(Sized(1), timeout=0.01)
    assert done == []
    next(iter(queue))
    thread.join(60)
    assert done == [True]


def test_one_item_larger_than_the_limit_passes_alone() -> None:
    queue = ItemQueue(max_bytes=10)
    assert queue.put(Sized(1000), timeout=1)
    with pytest.raises(DeadlineError):
        queue.put(Sized(1), timeout=0.01)
    assert next(queue).nbytes == 1000
    assert queue.put(Sized(1), timeout=1)


def test_fail_raises_after_what_waits() -> None:
    queue = ItemQueue()
    queue.put(Sized(1))
    queue.fail(DataError("cut"))
    next(queue)
    with pytest.raises(DataError, match="cut"):
        next(queue)
    with pytest.raises(RuntimeError):
        queue.put(Sized(1))


def test_fail_after_close_changes_nothing() -> None:
    queue = ItemQueue()
    queue.close()
    queue.fail(DataError("late"))
    assert list(queue) == []


def test_abort_wakes_the_writer() -> None:
    queue = ItemQueue(max_bytes=1)
    queue.put(Sized(1))
    taken = []
    thread = in_thread(lambda: taken.append(queue.put(Sized(1))))
    queue.abort()
    thread.join(60)
    assert taken == [False]
    assert queue.nbytes == len(queue) == 0
    assert not queue.put(Sized(1))


@pytest.mark.parametrize("error", [None, DataError("why")])
def test_abort_wakes_the_reader(error: Exception | None) -> None:
    queue = ItemQueue()
    raised: list[BaseException] = []

    def read() -> None:
        try:
            next(queue)
        except Exception as failure:
            raised.append(failure)

    thread = in_thread(read)
    queue.abort(error)
    queue.abort(ValueError("the first counts"))
    thread.join(60)
    assert isinstance(raised[0], DataError if error else ConnectionLostError)


def test_abort_drops_what_waits_and_counts_after_close() -> None:
    queue = ItemQueue()
    queue.put(Sized(1))
    queue.close()
    queue.abort()
    with pytest.raises(ConnectionLostError):
        next(queue)


@given(
    sizes=st.lists(st.integers(1, 50), max_size=40),
    limit=st.integers(1, 60),
    pauses=st.lists(st.booleans(), min_size=1, max_size=10),
)
@settings(max_examples=50, deadline=None)
def test_order_is_kept_and_the_limit_holds(
    sizes: list[int], limit: int, pauses: list[bool]
) -> None:
    queue = ItemQueue(max_bytes=limit)

    def write() -> None:
        for number, size in enumerate(sizes):
            assert queue.put(Sized(size, number))
        queue.close()

    thread = in_thread(write)
    seen = []
    for item in queue:
        assert queue.nbytes <= max(limit, *sizes)
        seen.append(item.number)
        if pauses[len(seen) % len(pauses)]:
            time.sleep(0)
    thread.join(60)
    assert seen == list(range(len(sizes)))


def test_aborts_at_any_moment_leave_nobody_waiting() -> None:
    for _ in range(200):
        queue = ItemQueue(max_bytes=2)

        def write(queue: ItemQueue = queue) -> None:
            while queue.put(Sized(1)):
                pass

        def read(queue: ItemQueue = queue) -> None:
            with pytest.raises(ConnectionLostError):
                for _ in queue:
                    pass

        threads = [in_thread(write), in_thread(read)]
        time.sleep(0)
        queue.abort()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


def test_item_bytes_counts_what_is_inside() -> None:
    data = np.zeros(1000, np.complex64)
    headers = np.zeros(10, np.uint8)
    sampling = Sampling((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), ())  # type: ignore[arg-type]
    buffered = DataBuffered(data, headers, sampling)
    assert item_bytes(ReconData([ReconBit(buffered, buffered)])) >= 2 * data.nbytes
    assert item_bytes(ImageArray(data, headers, [Meta()])) >= data.nbytes
    assert item_bytes(Bucket()) < 20_000
    assert item_bytes(Text("hello")) > 0
