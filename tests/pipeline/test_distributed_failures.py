"""`<distributed>` over stand-ins for other nodes: the same results, whatever befalls them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from elastron.errors import ConfigError, ReconstructionError
from elastron.gadgets.base import Item
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.pipeline import DistributionLimits, ItemQueue
from elastron.wire.faults import LOCATION, Fault, fault_words
from elastron.wire.messages import Close, Text

from .data import batch, number
from .distribution import (
    REPETITIONS,
    Puller,
    assert_same,
    distributed,
    images,
    links,
    numbers,
    readout,
    wait_until,
)
from .stand_in_peers import StandIn, StandInPeers, error

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
        wait_until(lambda: bool(peers.peers["b"].links))  # the input goes on meanwhile

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
                wait_until(lambda: peer.links)
                threading.Event().wait(0.1)

    puller = Puller(chain(distributed("Numbering"), StandInPeers(a=peer))(items()))
    wait_until(lambda: len(taken) > 8)
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
