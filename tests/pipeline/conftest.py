"""Configs made of gadgets for tests, and scans to send through them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from ismrmrd.xsd import experimentalConditionsType, ismrmrdHeader

from elastron.gadgets import registry
from elastron.gadgets.base import Context, Gadget, Item
from elastron.mrd.image import Image
from elastron.pipeline import Chain, Peers, build, parse_config
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

from .distribution import REPETITIONS, SLICES, AtTheEnd, Failing, Numbering, images, wait_until

Register = Callable[..., None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Make gadgets known under their class names."""
    known: dict[str, type[Gadget]] = {}
    find = registry.find_gadget

    def found(classname: str, dll: str | None = None) -> type[Gadget]:
        return known.get(classname) or find(classname, dll)

    monkeypatch.setattr("elastron.pipeline.assembly.find_gadget", found)

    def add(*gadgets: type[Gadget]) -> None:
        known.update({gadget.__name__: gadget for gadget in gadgets})

    return add


@pytest.fixture
def context() -> Context:
    return Context(
        header=ismrmrdHeader(
            experimentalConditions=experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000)
        )
    )


@pytest.fixture
def chain_of(context: Context) -> Callable[[str], Chain]:
    """Build the chain of a version 2 stream."""

    def make(stream: str, key: str = "main") -> Chain:
        xml = (
            f"<configuration><version>2</version><stream key='{key}'>{stream}</stream>"
            "</configuration>"
        )
        return build(parse_config(xml.encode(), "test.xml"), context)

    return make


@pytest.fixture(scope="module")
def scan() -> tuple[Context, list[Item]]:
    """A phantom's, of several slices and repetitions."""
    settings = PhantomSettings(matrix=32, coils=2, slices=SLICES, repetitions=REPETITIONS)
    header, items = phantom_acquisitions(settings)
    return Context(header=header, threads=1), list(items)


@pytest.fixture(scope="module")
def expected(scan: tuple[Context, list[Item]]) -> list[Image]:
    """What a chain of this process makes of the scan."""
    return images(scan, "default.xml")


@pytest.fixture
def chain(register: Register) -> Callable[..., Chain]:
    """Build the chain of a stream that may work on other nodes."""
    register(Numbering, AtTheEnd, Failing)
    header, _ = phantom_acquisitions(PhantomSettings(matrix=8, coils=1))
    context = Context(header=header, threads=1)

    def make(stream: str, peers: Peers | None) -> Chain:
        xml = f"<configuration><version>2</version><stream>{stream}</stream></configuration>"
        return build(parse_config(xml.encode(), "t.xml"), context, peers=peers)

    return make


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    names = ("part ", "lane ")
    wait_until(lambda: not any(each.name.startswith(names) for each in threading.enumerate()))
