"""`<puredistributed>` over stand-ins for other nodes: one in, one out, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from elastron.errors import ConfigError, ReconstructionError
from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.image import Image
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.pipeline import (
    Chain,
    DistributionLimits,
    ItemQueue,
    Peers,
    build,
    load_config,
    parse_config,
)
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions
from elastron.wire.faults import LOCATION, Fault, fault_words
from elastron.wire.messages import Close, Message, Text

from .conftest import Register
from .data import batch
from .distribution import PATIENCE_S, wait_until
from .stand_in_peers import StandIn, StandInLink, StandInPeers, error


class Negative(Gadget[Properties]):
    """Each sample with the other sign."""

    pure = True
    accepts = (AcquisitionBatch,)

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        yield replace(item, data=-item.data)


class Failing(Gadget[Properties]):
    pure = True
    accepts = (AcquisitionBatch,)

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        raise ValueError("no such coil")


@pytest.fixture
def chain(register: Register) -> Callable[..., Chain]:
    register(Negative, Failing)
    header, _ = phantom_acquisitions(PhantomSettings(matrix=8, coils=1))

    def make(peers: Peers | None, gadget: str = "Negative") -> Chain:
        xml = (
            "<configuration><version>2</version><stream><puredistributed>"
            "<readers><reader><classname>AcquisitionReader</classname></reader></readers>"
            "<writers><writer><classname>AcquisitionWriter</classname></writer></writers>"
            f"<purestream><gadget><classname>{gadget}</classname></gadget></purestream>"
            "</puredistributed></stream></configuration>"
        )
        context = Context(header=header, threads=1)
        return build(parse_config(xml.encode(), "p.xml"), context, peers=peers)

    return make


def readouts(count: int, rows: int = 1) -> list[Item]:
    """Batches whose samples are their readouts' numbers."""
    items: list[Item] = []
    for i in range(count):
        singles = [batch(i * rows + row) for row in range(rows)]
        headers = np.concatenate([single.headers for single in singles])
        numbers = headers["scan_counter"].astype(np.complex64)
        items.append(AcquisitionBatch(headers, np.repeat(numbers, 4).reshape(rows, 1, 4) + 1))
    return items


def values(items: Iterable[Item]) -> list[int]:
    """Readout numbers; negative samples, as `Negative` makes them."""
    found = []
    for item in items:
        if isinstance(item, AcquisitionBatch):
            numbers = item.headers["scan_counter"]
            np.testing.assert_array_equal(item.data[:, 0, 0], -1.0 - numbers)
            found += numbers.tolist()
    return found


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("rows", [1, 7])
def test_everything_comes_in_the_order_of_the_input(chain, count: int, rows: int) -> None:
    peers = StandInPeers(**{f"node-{i}": StandIn() for i in range(count)})
    assert values(chain(peers)(readouts(20, rows))) == list(range(20 * rows))
    # What ends them is waited for, but not for ever.
    wait_until(lambda: not [link for peer in peers.peers.values() for link in peer.open])


def test_the_stock_config_gives_the_images_of_default() -> None:
    header, items = phantom_acquisitions(
        PhantomSettings(matrix=32, coils=2, slices=2, repetitions=4)
    )
    items, context = list(items), Context(header=header, threads=1)
    local, remote = (
        [
            item
            for item in build(load_config(name), context, peers=peers)(iter(items))
            if isinstance(item, Image)
        ]
        for name, peers in (
            ("default.xml", None),
            ("distributed_image_default.xml", StandInPeers(a=StandIn(), b=StandIn())),
        )
    )
    assert [image.header for image in remote] == [image.header for image in local]
    for one, other in zip(remote, local, strict=True):
        np.testing.assert_array_equal(one.data, other.data, strict=True)


def test_what_no_writer_takes_keeps_its_place(chain) -> None:
    first, second = readouts(2)
    waveform = Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 4), np.uint32))
    outputs = list(chain(StandInPeers(a=StandIn()))([first, waveform, second]))
    assert [type(item) for item in outputs] == [AcquisitionBatch, Waveform, AcquisitionBatch]


def test_answers_may_be_cut_otherwise_than_the_input(chain) -> None:
    def singly(messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            if isinstance(message, AcquisitionBatch):
                yield from (message.select(slice(i, i + 1)) for i in range(len(message)))

    peers = StandInPeers(a=StandIn(twist=singly))
    assert values(chain(peers)(readouts(5, rows=3))) == list(range(15))


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_lost_peer_changes_nothing(chain, after: int) -> None:
    dying, queue = StandIn(dies_after=after), ItemQueue()
    outputs = chain(StandInPeers(dying=dying, b=StandIn()))(queue)
    found = []
    for item in readouts(10):  # one by one, so that the first peer gets them all
        queue.put(item)
        found += values([next(outputs)])
    queue.close()
    assert found + values(outputs) == list(range(10))
    assert dying.deaths == 0


def test_full_unreachable_and_no_peers(chain) -> None:
    for peers in (
        StandInPeers(a=StandIn(capacity=0), b=StandIn(unreachable=True), c=StandIn()),
        StandInPeers(a=StandIn(capacity=0)),
        StandInPeers(),
        None,
    ):
        assert values(chain(peers)(readouts(6))) == list(range(6))


def test_a_close_with_work_pending_is_a_failure(chain) -> None:
    """The original waits for ever."""
    bad = StandIn(says=[Close()])
    assert values(chain(StandInPeers(a=bad, b=StandIn()))(readouts(6))) == list(range(6))
    assert bad.links


def test_an_answer_too_many_is_not_taken_for_another(chain) -> None:
    def twice(messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            yield message
            yield message

    bad, queue = StandIn(twist=twice), ItemQueue()
    outputs = chain(StandInPeers(bad=bad))(queue)
    found = []
    for item in readouts(4):
        queue.put(item)
        found += values([next(outputs)])
        wait_until(lambda: not bad.open)
    queue.close()
    assert found + values(outputs) == [0, 1, 2, 3]


def test_the_peers_own_words_are_passed_on(chain) -> None:
    with pytest.raises(ReconstructionError, match=r"item 1 failed 1 time: node a: .*no such coil"):
        list(chain(StandInPeers(a=StandIn()), "Failing")(readouts(3)))
    peers = StandInPeers(a=StandIn(says=error("no GPU here")), b=StandIn())
    assert values(chain(peers)(readouts(3))) == [0, 1, 2]


def test_what_killed_a_process_is_not_worked_on_here(chain) -> None:
    died = [Text(f"[{LOCATION}] ERROR: {fault_words(Fault.WORKER_LOST, '(signal 9)')}"), Close()]
    with pytest.raises(ReconstructionError, match=r"failed 3 times.*signal 9"):
        list(chain(StandInPeers(a=StandIn(says=died)))(readouts(1)))


def test_an_error_here_is_raised(chain) -> None:
    with pytest.raises(ReconstructionError, match="no such coil"):
        list(chain(None, "Failing")(readouts(1)))
    with pytest.raises(ReconstructionError, match=r"no node is there.*OnlyElsewhere"):
        list(chain(None, "OnlyElsewhere")(readouts(1)))


def test_the_least_loaded_peer_gets_the_work(chain) -> None:
    gate = threading.Event()
    slow, quick = StandIn(gate=gate), StandIn()
    queue = ItemQueue()
    outputs = chain(StandInPeers(slow=slow, quick=quick))(queue)
    found: list[int] = []
    puller = threading.Thread(target=lambda: found.extend(values(outputs)))
    puller.start()
    for item in readouts(30):
        queue.put(item)
    queue.close()
    # All but the two that the first one has.
    wait_until(lambda: sum(map(_items, quick.links)) >= 28)
    gate.set()
    puller.join(PATIENCE_S)
    assert found == list(range(30))
    assert len(slow.links[0].received) <= 5  # config, header, at most two items, CLOSE


def _items(link: StandInLink) -> int:
    return sum(isinstance(message, AcquisitionBatch) for message in link.received)


def test_idle_links_are_closed_and_opened_again(chain) -> None:
    peer, queue = StandIn(), ItemQueue()
    peers = StandInPeers(DistributionLimits(idle_s=0.05), a=peer)
    outputs = chain(peers)(queue)
    first, second = readouts(2)
    queue.put(first)
    assert values([next(outputs)]) == [0]
    wait_until(lambda: peer.links[0].over)
    queue.put(second)
    assert values([next(outputs)]) == [1]
    queue.close()
    assert list(outputs) == []
    assert len(peer.links) == 2


def test_input_waits_while_too_much_is_under_way(chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elastron.pipeline.pure_distributed._UNDER_WAY_BYTES_MAX", 10_000)
    taken: list[int] = []

    def items() -> Iterator[Item]:
        for i, item in enumerate(readouts(200)):
            taken.append(i)
            yield item

    outputs = chain(StandInPeers(a=StandIn()))(items())
    first = next(outputs)
    threading.Event().wait(0.2)
    assert len(taken) < 100
    assert values([first, *outputs]) == list(range(200))


def test_an_abandoned_chain_ends_its_links(chain) -> None:
    peer, queue = StandIn(), ItemQueue()
    outputs = chain(StandInPeers(a=peer))(queue)
    queue.put(readouts(1)[0])
    next(outputs)
    outputs.close()
    assert peer.links[0].over


def test_an_error_of_the_input_is_raised(chain) -> None:
    def items() -> Iterator[Item]:
        yield from readouts(1)
        raise ConfigError("broken input")

    with pytest.raises(ConfigError, match="broken input"):
        list(chain(StandInPeers(a=StandIn()))(items()))
