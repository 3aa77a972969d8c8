"""What a gadget is.

A gadget turns an iterator of items into an iterator of items. It is built once a scan, from its
properties and the scan's context, and called once. It does no I/O but through its context, keeps
no global state, and needs no threads: the chain pulls, so a slow gadget slows the sender. A
chain's first gadgets may be called by another thread than the rest (`Gadget.streaming`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from ismrmrd.xsd import ismrmrdHeader
from pydantic import BaseModel, ConfigDict

from elastron.blobs.port import BlobStore
from elastron.wire.messages import DataMessage, Query, Response, Text

#: What flows through a chain.
Item = DataMessage | Text | Query | Response


class Hybrid(enum.Enum):
    """How a gadget treats items that are halfway: of which a later gadget does the second half.

    That is cheaper where two gadgets undo each other's transforms, or one shrinks what the other
    works on.
    """

    NO = "no"  # it needs them whole
    PASSES = "passes"  # it works on either and leaves them as they are
    CONSUMES = "consumes"  # it works on either and puts out something else, e.g. images


@dataclass(frozen=True, slots=True)
class Context:
    """What a gadget may know of the scan and its surroundings.

    Attributes:
        header: the MRD header.
        config_name: for messages; `<inline>` when it came by value.
        storage: dependencies (noise covariance, ...); None when storage is off.
        hybrid_output: the gadgets that follow take items whose readout is in image space.
        mixing_later: one of the gadgets that follow multiplies channels by a batch's `mixing`.
        growing_output: the gadget that follows takes buckets while they grow.
        threads: for FFTs and linear algebra within this session.
        parameters: settings of this node for gadgets (e.g. `dump_folder`).
        log: bound with the session's id; never log patient fields.
    """

    header: ismrmrdHeader
    config_name: str = "<inline>"
    storage: BlobStore | None = None
    hybrid_output: bool = False
    mixing_later: bool = False
    growing_output: bool = False
    threads: int = 2
    parameters: Mapping[str, str] = field(default_factory=dict)
    log: Any = field(default_factory=structlog.get_logger)


class Properties(BaseModel):
    """A gadget's properties, named as in a config. Unknown ones are warned of, then ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


P = TypeVar("P", bound=Properties)


class Gadget(Generic[P]):
    """Base of the gadgets.

    A gadget that looks at the whole stream overrides `__call__`. One that treats single items
    sets `accepts` and overrides `process` (and `finish`); all other items pass by unchanged.

    Attributes:
        properties_type: model of the properties a config may give.
        hybrid: how it treats items whose readout axis is already in image space.
        mixing: how it treats readouts whose channels are still to be mixed.
        pure: every item is processed alone, whatever came before (`parallelprocess`).
        accepts: item types `process` takes.
        takes_growing: it takes buckets while they grow (`Bucket.growing`).
        streaming: what it makes of a readout goes on at once. The gadgets at a chain's beginning
            that do so work where the data come in, at the same time as the rest of the chain.
    """

    properties_type: ClassVar[type[Properties]] = Properties
    hybrid: ClassVar[Hybrid] = Hybrid.NO
    mixing: ClassVar[Hybrid] = Hybrid.NO
    pure: ClassVar[bool] = False
    accepts: ClassVar[tuple[type, ...]] = ()
    takes_growing: ClassVar[bool] = False
    streaming: ClassVar[bool] = False

    def __init__(self, properties: P, context: Context) -> None:
        self.properties = properties
        self.context = context

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Process the stream; the default sends accepted items through `process`."""
        for item in items:
            if isinstance(item, self.accepts):
                yield from self.process(item)
            else:
                yield item
            del item  # while waiting for the next one, let go of this one's arrays
        yield from self.finish()

    def process(self, item: Any) -> Iterable[Item]:
        """Process one accepted item."""
        raise NotImplementedError

    def finish(self) -> Iterable[Item]:
        """What is still to come when the input has ended."""
        return ()
