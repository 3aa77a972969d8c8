"""Side by side: parallel streams and pools, in order, bounded, without deadlock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastron.errors import ConnectionLostError, ReconstructionError
from elastron.gadgets.base import Gadget, Item, Properties
from elastron.gadgets.branching import Branch, Merge, Streams
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.pipeline import Chain, ItemQueue, run
from elastron.wire.messages import Text
from tests.patience import wait_for

from .conftest import Register
from .data import batch, number

ChainOf = Callable[[str], Chain]


class Pass(Gadget[Properties]):
    pass


class EvenOdd(Branch[Properties]):
    accepts = (AcquisitionBatch,)

    def route(self, item: Item, keys: Sequence[str]) -> Iterable[str]:
        return (keys[number(item) % len(keys)],)


class InTurn(Merge[Properties]):
    """Reads one stream to its end, then the next: the hardest order for bounded queues."""

    def merge(self, streams: Streams) -> Iterator[Item]:
        for items in streams.values():
            yield from items


class TakeOneOfEach(Merge[Properties]):
    def merge(self, streams: Streams) -> Iterator[Item]:
        for items in streams.values():
            yield next(items)


class AtTheEnd(Gadget[Properties]):
    """Keeps everything until its input has ended."""

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        yield from list(items)


class Fail(Gadget[Properties]):
    pure = True
    accepts = (AcquisitionBatch,)

    def process(self, item: Item) -> Iterable[Item]:
        if number(item) == 3:
            raise ValueError("three")
        yield item


class Half(Gadget[Properties]):
    """Ends early."""

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        for _, item in zip(range(2), items, strict=False):
            yield item


class FailMerge(Merge[Properties]):
    def merge(self, streams: Streams) -> Iterator[Item]:
        raise ValueError("cannot merge")
        yield


class FailBranch(EvenOdd):
    def route(self, item: Item, keys: Sequence[str]) -> Iterable[str]:
        raise ValueError("cannot branch")


@pytest.fixture(autouse=True)
def gadgets(register: Register) -> None:
    register(
        *(Pass, EvenOdd, InTurn, TakeOneOfEach, AtTheEnd, Fail, Half, FailMerge, FailBranch),
        *(Slow, Meeting),
    )


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    wait_for(lambda: threading.active_count() <= before, what="the end of all threads")


def parallel(
    streams: dict[str, str], branch: str = "AcquisitionFanout", merge: str = "UnorderedMerge"
) -> str:
    inner = "".join(
        f"<stream key='{key}'>{''.join(map(gadget, names.split()))}</stream>"
        for key, names in streams.items()
    )
    return (
        f"<parallel><branch><name>Fork</name><classname>{branch}</classname></branch>{inner}"
        f"<merge><name>Join</name><classname>{merge}</classname></merge></parallel>"
    )


def gadget(name: str) -> str:
    return f"<gadget><classname>{name}</classname></gadget>"


def numbers(items: Iterable[Item]) -> list[int]:
    return [number(item) for item in items]


# --- parallel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["", "Pass", "AtTheEnd"])
def test_a_fan_out_doubles_and_each_stream_keeps_its_order(chain_of: ChainOf, inner: str) -> None:
    outputs = list(chain_of(parallel({"a": inner, "b": "Pass"}))(map(batch, range(50))))
    assert sorted(numbers(outputs)) == sorted([*range(50)] * 2)
    firsts = [n for i, n in enumerate(numbers(outputs)) if n not in numbers(outputs)[:i]]
    assert firsts == list(range(50))


@pytest.mark.parametrize("streams", [{"a": "", "b": ""}, {"a": "Pass", "b": ""}, {"b": "Pass"}])
def test_a_branch_chooses(chain_of: ChainOf, streams: dict[str, str]) -> None:
    chain = chain_of(parallel(streams, "EvenOdd", "InTurn"))
    outputs = numbers(chain(map(batch, range(20))))
    assert outputs == [n for k in range(len(streams)) for n in range(k, 20, len(streams))]


@pytest.mark.parametrize("inner", ["", "Pass", "AtTheEnd"])
def test_no_deadlock_whatever_the_merge_reads_first(chain_of: ChainOf, inner: str) -> None:
    chain = chain_of(parallel({"a": inner, "b": inner, "c": "Pass Pass"}, merge="InTurn"))
    assert numbers(chain(map(batch, range(200)))) == [*range(200)] * 3


def test_what_the_branch_does_not_take_goes_round(chain_of: ChainOf) -> None:
    chain = chain_of(parallel({"a": "AtTheEnd"}))
    outputs = list(chain([batch(0), Text("hello"), batch(1)]))
    assert outputs[0] == Text("hello")
    assert numbers(outputs[1:]) == [0, 1]


def test_an_output_does_not_wait_for_the_next_input(chain_of: ChainOf) -> None:
    """With a live source every item must come out before the next goes in."""
    seen: list[int] = []

    def source() -> Iterator[Item]:
        for i in range(20):
            assert seen.count(i - 1) == (2 if i else 0)
            yield batch(i)

    for item in chain_of(parallel({"a": "Pass", "b": "Pass Pass"}))(source()):
        seen.append(number(item))  # noqa: PERF401  the source looks on
    assert len(seen) == 40


def test_nested(chain_of: ChainOf) -> None:
    inner = parallel({"x": "Pass", "y": ""})
    outer = parallel({"a": "Pass", "b": ""}).replace(gadget("Pass"), inner)
    assert sorted(numbers(chain_of(outer)(map(batch, range(9))))) == sorted([*range(9)] * 3)


def test_a_stream_that_ends_early_leaves_the_others_going(chain_of: ChainOf) -> None:
    outputs = numbers(chain_of(parallel({"a": "Half", "b": "Pass"}))(map(batch, range(30))))
    assert sorted(outputs) == sorted([0, 1, *range(30)])


def test_a_merge_that_ends_early_ends_the_node(chain_of: ChainOf) -> None:
    queue = ItemQueue()
    for i in range(5):
        queue.put(batch(i))
    chain = chain_of(parallel({"a": "Pass", "b": "Pass"}, merge="TakeOneOfEach"))
    assert numbers(chain(queue)) == [0, 0]
    assert not queue.put(batch(9))


@pytest.mark.parametrize(
    ("node", "label", "location"),
    [
        (parallel({"a": "Pass", "b": "Pass Fail"}), "Fail", "main/Fork/b/Fail"),
        (parallel({"a": "Pass"}, merge="FailMerge"), "Join", "main/Join"),
        (parallel({"a": "Pass"}, branch="FailBranch"), "Fork", "main/Fork"),
    ],
)
def test_who_failed_is_named_and_nobody_waits(
    chain_of: ChainOf, node: str, label: str, location: str
) -> None:
    queue = ItemQueue()  # never closed
    for i in range(5):
        queue.put(batch(i))
    with pytest.raises(ReconstructionError) as raised:
        list(chain_of(gadget("Pass") + node + gadget("Pass"))(queue))
    assert raised.value.gadget == label
    assert f"/{location}] ERROR: ValueError" in str(raised.value)


def test_an_error_of_the_input_passes(chain_of: ChainOf) -> None:
    queue = ItemQueue()
    queue.put(batch(0))
    queue.fail(ConnectionLostError("gone"))
    with pytest.raises(ConnectionLostError, match="gone"):
        list(chain_of(gadget("Pass") + parallel({"a": "Pass"}) + gadget("Pass"))(queue))


def test_closing_ends_the_threads(chain_of: ChainOf) -> None:
    outputs = chain_of(parallel({"a": "Pass", "b": "AtTheEnd"}))(map(batch, range(100)))
    next(outputs)
    outputs.close()  # type: ignore[attr-defined]


def test_an_unread_stream_has_a_limit(chain_of: ChainOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MAX_WAITING_BYTES", 1 << 20)
    chain = chain_of(parallel({"a": "AtTheEnd", "b": ""}, merge="InTurn"))
    with pytest.raises(ReconstructionError, match="1 MiB wait in a <parallel> node"):
        list(chain(batch(i, samples=4096) for i in range(100)))


@given(
    streams=st.dictionaries(
        st.sampled_from("abcd"),
        st.sampled_from(["", "Pass", "AtTheEnd", "Half", "Pass AtTheEnd Pass"]),
        min_size=1,
    ),
    branch=st.sampled_from(["AcquisitionFanout", "EvenOdd"]),
    merge=st.sampled_from(["UnorderedMerge", "InTurn"]),
    count=st.integers(0, 30),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_is_lost_or_made(
    chain_of: ChainOf, streams: dict[str, str], branch: str, merge: str, count: int
) -> None:
    outputs = numbers(chain_of(parallel(streams, branch, merge))(map(batch, range(count))))
    keys = list(streams)
    expected = []
    for i, key in enumerate(keys):
        mine = list(range(count)) if branch[0] == "A" else list(range(i, count, len(keys)))
        expected += mine[:2] if streams[key] == "Half" else mine
    assert sorted(outputs) == sorted(expected)
    if merge == "InTurn":
        assert outputs == expected


# --- parallelprocess -----------------------------------------------------------------------------


class Slow(Gadget[Properties]):
    """Even items take longer; counts how many are under way."""

    pure = True
    accepts = (AcquisitionBatch,)
    lock = threading.Lock()
    running = 0
    most = 0

    def process(self, item: Item) -> Iterable[Item]:
        with Slow.lock:
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
        time.sleep(0.004 if number(item) % 2 == 0 else 0.001)
        with Slow.lock:
            Slow.running -= 1
        return (item, item)


class Meeting(Gadget[Properties]):
    """Every item waits for another one."""

    pure = True
    accepts = (AcquisitionBatch,)
    both = threading.Barrier(2)

    def process(self, item: Item) -> Iterable[Item]:
        Meeting.both.wait(60)
        return (item,)


def pool(*names: str, workers: int = 3) -> str:
    inner = "".join(map(gadget, names))
    return (
        f"<parallelprocess workers='{workers}'><purestream>{inner}</purestream></parallelprocess>"
    )


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_pool_keeps_the_order(chain_of: ChainOf, workers: int) -> None:
    Slow.most = 0
    outputs = list(chain_of(pool("Slow", workers=workers))([*map(batch, range(20)), Text("end")]))
    assert outputs.pop() == Text("end")
    assert numbers(outputs) == [n for n in range(20) for _ in range(2)]
    assert Slow.most <= (workers or 1000)


def test_a_pool_works_on_several_items_at_once(chain_of: ChainOf) -> None:
    outputs = chain_of(pool("Meeting", workers=3))(map(batch, range(20)))
    assert numbers(outputs) == list(range(20))


def test_a_pool_bounds_what_is_under_way(chain_of: ChainOf) -> None:
    taken = 0
    given_out = 0

    def source() -> Iterator[Item]:
        nonlocal taken
        for i in range(60):
            taken += 1
            assert taken - given_out <= 2 * 2 + 3
            yield batch(i)

    for i, _ in enumerate(chain_of(pool("Slow", workers=2))(source())):
        given_out = i // 2
        if i == 10:
            time.sleep(0.05)
    assert taken == 60


def test_a_pools_output_does_not_wait_for_the_next_input(chain_of: ChainOf) -> None:
    queue = ItemQueue()
    queue.put(batch(0))
    outputs = chain_of(gadget("Pass") + pool("Slow") + gadget("Pass"))(queue)
    assert number(next(outputs)) == 0
    queue.close()
    assert numbers(outputs) == [0]


def test_a_pools_failure_is_named_and_nobody_waits(chain_of: ChainOf) -> None:
    queue = ItemQueue()  # never closed
    for i in range(5):
        queue.put(batch(i))
    outputs = chain_of(gadget("Pass") + pool("Fail"))(queue)
    assert [number(next(outputs)) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ReconstructionError, match="main/Fail] ERROR: ValueError: three"):
        next(outputs)
    assert not queue.put(batch(9))


def test_an_error_of_a_pools_input_passes(chain_of: ChainOf) -> None:
    queue = ItemQueue()
    queue.put(batch(0))
    queue.fail(ConnectionLostError("gone"))
    outputs = chain_of(pool("Slow"))(queue)
    assert [number(next(outputs)) for _ in range(2)] == [0, 0]
    with pytest.raises(ConnectionLostError, match="gone"):
        next(outputs)


def test_closing_a_pool_ends_its_threads(chain_of: ChainOf) -> None:
    queue = ItemQueue()  # never closed
    queue.put(batch(0))
    outputs = chain_of(pool("Slow"))(queue)
    next(outputs)
    outputs.close()  # type: ignore[attr-defined]
    assert not queue.put(batch(9))
