"""`<distributed>` over stand-ins for other nodes: same results, whatever befalls them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from elastron.errors import ConfigError, ReconstructionError
from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
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
from elastron.wire.messages import Close, Text

from .conftest import Register
from .data import batch, number
from .stand_in_peers import StandIn, StandInPeers, error

PATIENCE_S = 60

REPETITIONS, SLICES = 5, 2


@pytest.fixture(scope="module")
def scan() -> tuple[Context, list[Item]]:
    settings = PhantomSettings(matrix=32, coils=2, slices=SLICES, repetitions=REPETITIONS)
    header, items = phantom_acquisitions(settings)
    return Context(header=header, threads=1), list(items)


def images(
    scan: tuple[Context, Iterable[Item]], name: str, peers: Peers | None = None
) -> list[Image]:
    context, items = scan
    outputs = build(load_config(name), context, peers=peers)(iter(items))
    return [item for item in outputs if isinstance(item, Image)]


@pytest.fixture(scope="module")
def expected(scan: tuple[Context, list[Item]]) -> list[Image]:
    return images(scan, "default.xml")


def assert_same(found: list[Image], expected: list[Image]) -> None:
    """Bit for bit, headers included."""
    assert [image.header for image in found] == [image.header for image in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.data, other.data, strict=True)


def links(peers: StandInPeers) -> int:
    return sum(len(peer.links) for peer in peers.peers.values())


# --- the same images ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_images_are_those_of_the_local_chain(scan, expected, count: int) -> None:
    peers = StandInPeers(**{f"node-{i}": StandIn() for i in range(count)})
    assert_same(images(scan, "distributed_default.xml", peers), expected)
    assert links(peers) == (REPETITIONS if count else 0)


def test_without_other_nodes_at_all(scan, expected) -> None:
    assert_same(images(scan, "distributed_default.xml"), expected)


def test_a_batch_may_hold_several_parts(scan, expected) -> None:
    context, items = scan
    batches = [item for item in items if isinstance(item, AcquisitionBatch)]
    whole = AcquisitionBatch(
        np.concatenate([each.headers for each in batches]),
        np.concatenate([each.data for each in batches]),
    )
    peers = StandInPeers(a=StandIn(), b=StandIn())
    assert_same(images((context, [whole]), "distributed_default.xml", peers), expected)


def test_a_slice_a_part(scan) -> None:
    """The cloud chain gives the images of its local twin, slice by slice."""
    context, items = scan
    cine = [_as_phase(item) for item in items if isinstance(item, AcquisitionBatch)]
    cine.sort(key=lambda item: int(item.counter("slice")[0]))
    local = images((context, cine), "Generic_Cartesian_Grappa_RealTimeCine.xml")
    peers = StandInPeers(a=StandIn(), b=StandIn())
    found = images((context, cine), "Generic_Cartesian_Grappa_RealTimeCine_Cloud.xml", peers)
    assert len(local) == SLICES * REPETITIONS
    assert_same(found, local)
    assert links(peers) == SLICES


def _as_phase(item: AcquisitionBatch) -> AcquisitionBatch:
    headers = item.headers.copy()
    headers["idx"]["phase"], headers["idx"]["repetition"] = item.counter("repetition"), 0
    return replace(item, headers=headers)


def test_encoding_spaces_are_parts_of_a_buffer(scan, expected) -> None:
    peers = StandInPeers(a=StandIn(), b=StandIn())
    found = images(scan, "distributed_generic_default.xml", peers)
    assert links(peers) == 1  # one encoding space
    assert [image.header for image in found] == [image.header for image in expected]
    for one, other in zip(found, expected, strict=True):
        # The readout goes back to k-space for the wire: rounding differs.
        np.testing.assert_allclose(one.data, other.data, rtol=0, atol=1e-6 * other.data.max())


# --- chains made for a purpose --------------------------------------------------------------------

LINK = (
    "<readers><reader><classname>AcquisitionReader</classname></reader>"
    "<reader><classname>TextReader</classname></reader></readers>"
    "<writers><writer><classname>AcquisitionWriter</classname></writer></writers>"
)


def distributed(gadget: str = "", dimension: str = "slice", *properties: str) -> str:
    inner = f"<gadget><classname>{gadget}</classname></gadget>" if gadget else ""
    more = "".join(properties)
    return (
        f"<distributed>{LINK}<distributor><name>D</name>"
        "<classname>AcquisitionDistributor</classname>"
        f"<property name='parallel_dimension' value='{dimension}'/>{more}</distributor>"
        f"<stream key='inner'>{inner}</stream></distributed>"
    )


class Numbering(Gadget[Properties]):
    """Puts out readouts as they come, numbered over its whole input."""

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        count = 0
        for item in items:
            if isinstance(item, AcquisitionBatch):
                headers = item.headers.copy()
                headers["idx"]["user"][:, 0] = count + np.arange(len(item))
                count += len(item)
                yield replace(item, headers=headers)


class AtTheEnd(Gadget[Properties]):
    """Puts everything out once the input has ended."""

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        yield from list(items)


class Failing(Gadget[Properties]):
    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        for _ in items:
            raise ValueError("no such coil")
        yield from ()


@pytest.fixture
def chain(register: Register) -> Callable[..., Chain]:
    register(Numbering, AtTheEnd, Failing)
    header, _ = phantom_acquisitions(PhantomSettings(matrix=8, coils=1))
    context = Context(header=header, threads=1)

    def make(stream: str, peers: Peers | None) -> Chain:
        xml = f"<configuration><version>2</version><stream>{stream}</stream></configuration>"
        return build(parse_config(xml.encode(), "t.xml"), context, peers=peers)

    return make


def readout(counter: int, slice_: int, *flags: AcquisitionFlag) -> AcquisitionBatch:
    item = batch(counter)
    item.headers["idx"]["slice"] = slice_
    for flag in flags:
        item.headers["flags"] |= flag.mask
    return item


def numbers(items: Iterable[Item]) -> list[int]:
    return [
        int(counter)
        for item in items
        if isinstance(item, AcquisitionBatch)
        for counter in item.headers["scan_counter"]
    ]


def test_output_is_in_the_order_of_parts(chain) -> None:
    gate = threading.Event()
    peers = StandInPeers(first=StandIn(gate=gate), second=StandIn())
    slices = [0, 1, 0, 1, 2]
    outputs = chain(distributed("Numbering"), peers)(
        readout(i, slice_) for i, slice_ in enumerate(slices)
    )
    threading.Timer(0.2, gate.set).start()
    assert numbers(outputs) == [0, 2, 1, 3, 4]


def test_output_may_come_as_it_arrives(chain) -> None:
    """As in the original: what a slow node makes of an earlier part comes later."""
    gate = threading.Event()
    peers = StandInPeers(slow=StandIn(gate=gate), fast=StandIn())
    arrival = "<property name='output_order' value='arrival'/>"
    outputs = chain(distributed("Numbering", "slice", arrival), peers)(
        readout(i, i % 2) for i in range(4)
    )
    found = [number(next(outputs)), number(next(outputs))]
    gate.set()
    assert (found, sorted(numbers(outputs))) == ([1, 3], [0, 2])


def test_what_no_distributor_takes_goes_round(chain) -> None:
    waveform = Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 4), np.uint32))
    outputs = list(chain(distributed("AtTheEnd"), StandInPeers(a=StandIn()))([waveform, batch(0)]))
    assert isinstance(outputs[0], Waveform)
    assert numbers(outputs) == [0]


@pytest.mark.parametrize("dimension", ["user_3", "kspace_encode_step_2", "repetition", "segment"])
def test_any_counter_may_be_the_dimension(chain, dimension: str) -> None:
    items = []
    for i in range(6):
        item = batch(i)
        if dimension.startswith("user"):
            item.headers["idx"]["user"][:, 3] = i % 3
        else:
            item.headers["idx"][dimension] = i % 3
        items.append(item)
    peers = StandInPeers(a=StandIn())
    assert numbers(chain(distributed("Numbering", dimension), peers)(items)) == [0, 3, 1, 4, 2, 5]
    assert links(peers) == 3


def test_results_leave_before_the_input_ends(chain) -> None:
    """An image is not held until the scan is over."""
    queue = ItemQueue()
    outputs = chain(distributed("Numbering"), StandInPeers(a=StandIn()))(queue)
    for i in range(3):
        queue.put(readout(i, 0))
        assert number(next(outputs)) == i
    queue.close()
    assert list(outputs) == []


def test_a_writer_must_take_the_data(chain) -> None:
    stream = distributed().replace("AcquisitionWriter", "ImageWriter")
    with pytest.raises(ReconstructionError, match="none of the node's writers takes ACQUISITION"):
        list(chain(stream, None)([batch(0)]))


# --- parts that look complete ---------------------------------------------------------------------

LAST = AcquisitionFlag.LAST_IN_SLICE


class Puller:
    """Takes a chain's output in a thread of its own."""

    def __init__(self, outputs: Iterator[Item]) -> None:
        self.items: list[Item] = []
        self._thread = threading.Thread(target=lambda: self.items.extend(outputs))
        self._thread.start()

    def all(self) -> list[Item]:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self.items


def test_a_part_that_looks_complete_frees_its_peer(chain) -> None:
    """One place is enough for many parts, while the scan goes on."""
    peer = StandIn(capacity=1)
    queue = ItemQueue()
    puller = Puller(chain(distributed("AtTheEnd"), StandInPeers(a=peer))(queue))
    for i in range(3):
        queue.put(readout(i, i, LAST))
        _wait(lambda: len(peer.links) > i and peer.links[-1].over)  # noqa: B023
    assert all(link.closed.is_set() for link in peer.links)
    assert not puller.items, "nothing is certain before the input ends"
    queue.close()
    assert numbers(puller.all()) == [0, 1, 2]


def test_data_after_the_end_reopen_a_part(chain) -> None:
    """A chain that works at the end sees all of its data, however late they come."""
    peer = StandIn()
    queue = ItemQueue()
    puller = Puller(chain(distributed("Numbering"), StandInPeers(a=peer))(queue))
    queue.put(readout(0, 0, LAST))
    _wait(lambda: peer.links and peer.links[0].over)
    queue.put(readout(1, 0, LAST))
    queue.put(readout(2, 1))
    queue.close()
    found = puller.all()
    assert numbers(found) == [0, 1, 2]
    counted = [int(item.headers["idx"]["user"][0, 0]) for item in found]  # type: ignore[union-attr]
    assert counted == [0, 1, 0]


def test_an_idle_link_is_closed(chain) -> None:
    peer = StandIn()
    queue = ItemQueue()
    peers = StandInPeers(DistributionLimits(idle_s=0.05), a=peer)
    puller = Puller(chain(distributed("AtTheEnd"), peers)(queue))
    queue.put(readout(0, 0))
    _wait(lambda: peer.links and peer.links[0].over)
    queue.put(readout(1, 0))
    queue.close()
    assert numbers(puller.all()) == [0, 1]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    _wait(lambda: not [each for each in threading.enumerate() if each.name.startswith("part ")])


def _wait(condition: Callable[[], object]) -> None:
    ready = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        ready.wait(0.01)
    raise AssertionError("never came")


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_lost_peer_changes_nothing(scan, expected, after: int) -> None:
    dying = StandIn(dies_after=after)
    peers = StandInPeers(dying=dying, other=StandIn())
    assert_same(images(scan, "distributed_default.xml", peers), expected)
    assert dying.deaths == 0


def test_results_put_out_before_the_loss_come_once(chain) -> None:
    dying, queue = StandIn(dies_after=2), ItemQueue()
    outputs = chain(distributed("Numbering"), StandInPeers(a=dying, b=StandIn()))(queue)
    found = []
    for i in range(2):
        queue.put(readout(i, 0))
        found.append(number(next(outputs)))
    for i in range(2, 5):
        queue.put(readout(i, 0))
    queue.close()
    assert found + numbers(outputs) == [0, 1, 2, 3, 4]
    assert dying.deaths == 0


def test_full_and_unreachable_peers_are_passed_over(scan, expected) -> None:
    peers = StandInPeers(
        full=StandIn(capacity=0), gone=StandIn(unreachable=True), good=StandIn(capacity=1)
    )
    assert_same(images(scan, "distributed_default.xml", peers), expected)
    assert len(peers.peers["good"].links) >= REPETITIONS


def test_all_peers_full_means_work_here(scan, expected) -> None:
    """So nodes that wait for each other cannot dead-lock."""
    peers = StandInPeers(a=StandIn(capacity=0), b=StandIn(capacity=0))
    assert_same(images(scan, "distributed_default.xml", peers), expected)


def test_peers_that_come_later_are_used_and_those_that_go_are_not(chain) -> None:
    peers = StandInPeers(a=StandIn(), b=StandIn())
    peers.listed = ["a"]
    queue = ItemQueue()
    outputs = chain(distributed("Numbering"), peers)(queue)
    queue.put(readout(0, 0))
    assert number(next(outputs)) == 0
    peers.listed = ["b"]  # a drains; its part may go on
    queue.put(readout(1, 1))
    queue.put(readout(2, 0))
    queue.close()
    assert numbers(outputs) == [2, 1]
    assert [len(peer.links) for peer in peers.peers.values()] == [1, 1]


@pytest.mark.parametrize("by_id_8", [False, True])
def test_the_peers_own_words_are_passed_on(chain, by_id_8: bool) -> None:
    peers = StandInPeers(a=StandIn(says=error("no such coil", by_id_8=by_id_8)))
    with pytest.raises(ReconstructionError) as raised:
        list(chain(distributed(), peers)([batch(0)]))
    words = str(raised.value)
    assert "no such coil" in words
    assert "node a" in words
    assert words.startswith("[Connection Main Thread/Stream/D] ERROR: part 1 (index 0) failed")


def test_an_error_is_tried_on_another_peer_first(chain) -> None:
    peers = StandInPeers(a=StandIn(says=error("no GPU here")), b=StandIn())
    assert numbers(chain(distributed("Numbering"), peers)([batch(0)])) == [0]


def test_an_error_of_the_chain_fails_after_few_attempts(chain) -> None:
    peers = StandInPeers(**{f"n{i}": StandIn() for i in range(5)})
    with pytest.raises(ReconstructionError, match=r"failed 3 times.*no such coil"):
        list(chain(distributed("Failing"), peers)([batch(0)]))
    assert links(peers) == 3


@pytest.mark.parametrize(
    "says",
    [
        [Close()],
        [],
        [Text(f"[{LOCATION}] ERROR: {fault_words(Fault.WORKER_LOST, '(signal 9)')}"), Close()],
        [Text(f"[{LOCATION}] ERROR: {fault_words(Fault.NODE_STOPPED)}"), Close()],
    ],
    ids=["clean close", "silent end", "worker died", "stopped"],
)
def test_other_ways_to_fail(chain, says: list) -> None:
    """None of them hangs, and the part goes elsewhere."""
    bad = StandIn(says=says) if says else StandIn(dies_after=0, deaths=100)
    peers = StandInPeers(a=bad, b=StandIn())

    def items() -> Iterator[Item]:
        yield batch(0)
        _wait(lambda: bool(peers.peers["b"].links))  # the input goes on meanwhile

    assert numbers(chain(distributed("Numbering"), peers)(items())) == [0]


def test_what_killed_a_process_is_not_worked_on_here(chain) -> None:
    died = [Text(f"[{LOCATION}] ERROR: {fault_words(Fault.WORKER_LOST, '(signal 9)')}"), Close()]
    peers = StandInPeers(a=StandIn(says=died))
    with pytest.raises(ReconstructionError, match=r"failed 3 times.*signal 9"):
        list(chain(distributed("Numbering"), peers)([batch(0)]))


def test_a_gadget_only_others_have(chain) -> None:
    with pytest.raises(ReconstructionError, match=r"no node is there.*OnlyOnTheOtherNode"):
        list(chain(distributed("OnlyOnTheOtherNode"), None)([batch(0)]))


def test_words_that_are_no_error_pass(chain) -> None:
    peers = StandInPeers(a=StandIn(twist=lambda items: [Text("nearly done"), *items]))
    outputs = list(chain(distributed("AtTheEnd"), peers)([batch(0)]))
    assert outputs[0] == Text("nearly done")
    assert numbers(outputs) == [0]


def test_a_message_no_reader_takes_is_an_error(chain) -> None:
    image = Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 4), np.uint32))
    peers = StandInPeers(a=StandIn(twist=lambda items: [image, *items]))
    with pytest.raises(ReconstructionError, match="it sent WAVEFORM, which no reader"):
        list(chain(distributed("AtTheEnd"), peers)([batch(0)]))


# --- limits and endings ---------------------------------------------------------------------------


def test_parts_go_to_disk_beyond_the_memory_limit(scan, expected, tmp_path) -> None:
    limits = DistributionLimits(memory_bytes_max=10_000, folder=tmp_path)
    peers = StandInPeers(limits, dying=StandIn(dies_after=1), other=StandIn())
    assert_same(images(scan, "distributed_default.xml", peers), expected)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_limit_is_named(scan) -> None:
    limits = DistributionLimits(memory_bytes_max=10_000, disk_bytes_max=10_000)
    with pytest.raises(ReconstructionError, match="disk_bytes_max"):
        images(scan, "distributed_default.xml", StandInPeers(limits, a=StandIn()))


def test_results_that_wait_are_bounded(chain) -> None:
    """Later parts' results wait at their peers, and all of them come in the end."""
    limits = DistributionLimits(results_bytes_max=1)
    outputs = chain(distributed("Numbering"), StandInPeers(limits, a=StandIn(), b=StandIn()))(
        readout(i, i % 3) for i in range(60)
    )
    assert numbers(outputs) == [*range(0, 60, 3), *range(1, 60, 3), *range(2, 60, 3)]


def test_input_waits_for_a_slow_peer(chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elastron.pipeline.distributed._UNSENT_BYTES_MAX", 10_000)
    gate, taken = threading.Event(), []
    peer = StandIn(gate=gate)

    def items() -> Iterator[Item]:
        for i in range(300):
            taken.append(i)
            yield replace(readout(i, 0), data=np.zeros((1, 1, 1000), np.complex64))
            if i == 0:  # what comes before somebody takes it is kept without limit
                _wait(lambda: peer.links)
                threading.Event().wait(0.1)

    puller = Puller(chain(distributed("Numbering"), StandInPeers(a=peer))(items()))
    _wait(lambda: len(taken) > 8)
    threading.Event().wait(0.2)
    waiting_at = len(taken)
    gate.set()
    assert waiting_at < 150
    assert numbers(puller.all()) == list(range(300))


def test_an_abandoned_chain_ends_its_links(chain) -> None:
    peers = StandInPeers(a=StandIn())
    queue = ItemQueue()
    outputs = chain(distributed("Numbering"), peers)(queue)
    queue.put(readout(0, 0))
    next(outputs)
    outputs.close()
    assert peers.peers["a"].links[0].over


def test_an_error_of_the_input_is_raised(chain) -> None:
    def items() -> Iterator[Item]:
        yield batch(0)
        raise ConfigError("broken input")

    with pytest.raises(ConfigError, match="broken input"):
        list(chain(distributed("Numbering"), StandInPeers(a=StandIn()))(items()))


def test_distributed_within_distributed(chain) -> None:
    inner = distributed("Numbering", "repetition")
    outer = distributed().replace("<stream key='inner'></stream>", f"<stream>{inner}</stream>")
    items = [readout(i, i % 2) for i in range(4)]
    peers = StandInPeers(a=StandIn(), b=StandIn())
    assert numbers(chain(outer, peers)(items)) == [0, 2, 1, 3]
