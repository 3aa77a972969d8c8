"""What tests of `<distributed>` share: configs, gadgets, and what comes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.image import Image
from elastron.pipeline import Peers, build, load_config

from .data import batch
from .stand_in_peers import StandInPeers

PATIENCE_S = 60
REPETITIONS, SLICES = 5, 2


def images(
    scan: tuple[Context, Iterable[Item]], name: str, peers: Peers | None = None
) -> list[Image]:
    context, items = scan
    outputs = build(load_config(name), context, peers=peers)(iter(items))
    return [item for item in outputs if isinstance(item, Image)]


def assert_same(found: list[Image], expected: list[Image]) -> None:
    """Bit for bit, headers included."""
    assert [image.header for image in found] == [image.header for image in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.data, other.data, strict=True)


def links(peers: StandInPeers) -> int:
    return sum(len(peer.links) for peer in peers.peers.values())


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


def wait_until(condition: Callable[[], object]) -> None:
    ready = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        ready.wait(0.01)
    raise AssertionError("never came")
