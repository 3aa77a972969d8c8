"""Chains: order, laziness, endings, and who is blamed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

from elastron.errors import ConnectionLostError, DataError, ReconstructionError
from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.pipeline import Chain, ItemQueue
from elastron.wire.messages import Query, Text

from .conftest import Register
from .data import batch, number

ChainOf = Callable[[str], Chain]


class Pass(Gadget[Properties]):
    pass


class Twice(Gadget[Properties]):
    accepts = (AcquisitionBatch,)

    def process(self, item: Item) -> Iterable[Item]:
        return (item, item)

    def finish(self) -> Iterable[Item]:
        return (Text("end"),)


class RaiseValue(Gadget[Properties]):
    accepts = (AcquisitionBatch,)

    def process(self, item: Item) -> Iterable[Item]:
        raise ValueError("shapes (3,) and (4,) differ")


class RaiseData(RaiseValue):
    def process(self, item: Item) -> Iterable[Item]:
        raise DataError("Readout 3 has 5 channels; the header says 4.")


class Wrap(Gadget[Properties]):
    """Turns every failure of its input into its own."""

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        try:
            yield from items
        except Exception as error:
            raise RuntimeError("I did not do it") from error


class Early(Twice):
    streaming = True


class RaiseEarly(RaiseValue):
    streaming = True


class RaiseAtFinish(Gadget[Properties]):
    def finish(self) -> Iterable[Item]:
        raise KeyError("x")


class TakeOne(Gadget[Properties]):
    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        yield next(iter(items))


def gadget(name: str, label: str = "") -> str:
    return f"<gadget><name>{label}</name><dll/><classname>{name}</classname></gadget>"


@pytest.fixture(autouse=True)
def gadgets(register: Register) -> None:
    register(Pass, Twice, Early, RaiseEarly, RaiseValue, RaiseData, Wrap, RaiseAtFinish, TakeOne)


def test_items_flow_in_order_and_lazily(chain_of: ChainOf) -> None:
    taken = []

    def source() -> Iterator[Item]:
        for i in range(3):
            taken.append(i)
            yield batch(i)

    outputs = chain_of(gadget("Pass") + gadget("Twice"))(source())
    assert taken == []
    assert number(next(outputs)) == 0
    assert taken == [0]
    rest = list(outputs)
    assert [number(item) for item in rest[:-1]] == [0, 1, 1, 2, 2]
    assert rest[-1] == Text("end")


def test_an_empty_chain_swallows_data_and_passes_words(chain_of: ChainOf) -> None:
    query = Query("gadgetron::info", 7)
    assert list(chain_of("")([batch(0), Text("hello"), query])) == [Text("hello"), query]


def test_a_foreign_exception_names_the_gadget_the_config_and_the_reason(chain_of: ChainOf) -> None:
    chain = chain_of(gadget("Pass") + gadget("RaiseValue", "Recon") + gadget("Wrap") * 2)
    with pytest.raises(ReconstructionError) as raised:
        list(chain([batch(0)]))
    assert raised.value.gadget == "Recon"
    assert str(raised.value) == (
        "[Connection Main Thread/main/Recon] ERROR: ValueError: shapes (3,) and (4,) differ "
        "(gadget RaiseValue, config test.xml)"
    )
    assert isinstance(raised.value.__cause__, ValueError)


def test_an_error_of_ours_keeps_its_words(chain_of: ChainOf) -> None:
    with pytest.raises(ReconstructionError, match="ERROR: Readout 3 has 5 channels") as raised:
        list(chain_of(gadget("RaiseData"))([batch(0)]))
    assert raised.value.gadget == "RaiseData"
    assert isinstance(raised.value.__cause__, DataError)


@pytest.mark.parametrize("position", range(3))
def test_blame_is_right_at_any_place(chain_of: ChainOf, position: int) -> None:
    names = ["Wrap", "Pass", "Twice"]
    names.insert(position, "RaiseAtFinish")
    with pytest.raises(ReconstructionError) as raised:
        list(chain_of("".join(map(gadget, names)))([batch(0)]))
    assert raised.value.gadget == "RaiseAtFinish"


def test_a_long_reason_is_cut(chain_of: ChainOf, register: Register) -> None:
    class RaiseLong(RaiseValue):
        def process(self, item: Item) -> Iterable[Item]:
            raise ValueError(np.array2string(np.zeros(10_000), threshold=100_000))

    register(RaiseLong)
    with pytest.raises(ReconstructionError) as raised:
        list(chain_of(gadget("RaiseLong"))([batch(0)]))
    assert len(str(raised.value)) < 1000


def test_an_error_of_the_input_is_nobodys(chain_of: ChainOf) -> None:
    queue = ItemQueue()
    queue.put(batch(0))
    queue.fail(ConnectionLostError("The client went away."))
    outputs = chain_of(gadget("Pass") + gadget("Wrap") + gadget("Twice"))(queue)
    assert number(next(outputs)) == 0
    with pytest.raises(ConnectionLostError, match="went away"):
        list(outputs)


def test_the_input_is_aborted_when_the_chain_ends_first(chain_of: ChainOf) -> None:
    for stream, ending in (
        (gadget("RaiseValue"), pytest.raises(ReconstructionError)),
        (gadget("TakeOne") + gadget("Pass"), None),
    ):
        queue = ItemQueue()
        queue.put(batch(0))
        if ending is None:
            assert len(list(chain_of(stream)(queue))) == 1
        else:
            with ending:
                list(chain_of(stream)(queue))
        assert not queue.put(batch(1))


def test_closing_the_output_ends_every_gadget(chain_of: ChainOf, register: Register) -> None:
    ended = []

    class Record(Gadget[Properties]):
        def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
            try:
                yield from items
            finally:
                ended.append(self)

    register(Record)
    queue = ItemQueue()
    queue.put(batch(0))
    outputs = chain_of(gadget("Record") + gadget("Pass") + gadget("Record"))(queue)
    next(outputs)
    outputs.close()  # type: ignore[attr-defined]
    assert len(ended) == 2
    assert not queue.put(batch(1))


# --- in two threads ------------------------------------------------------------------------------


def test_head_and_tail_are_the_chain(chain_of: ChainOf) -> None:
    stream = gadget("Early") + gadget("Early") + gadget("Twice") + gadget("Early")
    chain = chain_of(stream)
    assert chain.streaming == 2
    whole = [type(item) for item in chain([batch(1)])]
    head = list(chain_of(stream).head([batch(1)]))
    assert len(head) == 4 + 2
    assert [type(item) for item in chain.tail(head)] == whole


def test_a_chain_may_be_all_head_or_all_tail(chain_of: ChainOf) -> None:
    for stream, streaming in ((gadget("Early"), 1), (gadget("Twice"), 0)):
        chain = chain_of(stream)
        assert chain.streaming == streaming
        assert len(list(chain.tail(chain.head([batch(1)])))) == 3


def test_an_error_of_the_head_passes_by_the_tail(chain_of: ChainOf) -> None:
    chain = chain_of(gadget("RaiseEarly", "First") + gadget("Wrap") + gadget("Twice"))
    queue = ItemQueue()

    def work() -> None:
        try:
            for item in chain.head([batch(1)]):
                queue.put(item)
        except ReconstructionError as error:
            queue.abort(error)

    thread = threading.Thread(target=work)
    thread.start()
    with pytest.raises(ReconstructionError, match=r"main/First\] ERROR: ValueError: shapes"):
        list(chain.tail(queue))
    thread.join(60)
