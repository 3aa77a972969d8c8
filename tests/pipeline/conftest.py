"""Configs made of gadgets for tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ismrmrd.xsd import experimentalConditionsType, ismrmrdHeader

from elastron.gadgets import registry
from elastron.gadgets.base import Context, Gadget
from elastron.pipeline import Chain, build, parse_config

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
