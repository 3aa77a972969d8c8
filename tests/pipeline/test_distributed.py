"""`<distributed>` over stand-ins for other nodes: the same results, in the right order."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from elastron.errors import ReconstructionError
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.pipeline import DistributionLimits, ItemQueue

from .data import batch, number
from .distribution import (
    REPETITIONS,
    SLICES,
    Puller,
    assert_same,
    distributed,
    images,
    links,
    numbers,
    readout,
    wait_until,
)
from .stand_in_peers import StandIn, StandInPeers

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


def test_a_part_that_looks_complete_frees_its_peer(chain) -> None:
    """One place is enough for many parts, while the scan goes on."""
    peer = StandIn(capacity=1)
    queue = ItemQueue()
    puller = Puller(chain(distributed("AtTheEnd"), StandInPeers(a=peer))(queue))
    for i in range(3):
        queue.put(readout(i, i, LAST))
        wait_until(lambda: len(peer.links) > i and peer.links[-1].over)  # noqa: B023
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
    wait_until(lambda: peer.links and peer.links[0].over)
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
    wait_until(lambda: peer.links and peer.links[0].over)
    queue.put(readout(1, 0))
    queue.close()
    assert numbers(puller.all()) == [0, 1]
