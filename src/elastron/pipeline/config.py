"""A reconstruction config as data: what to read, which steps, what to write.

Both of the Gadgetron's XML grammars parse into these types; `parse_config` and `serialize_config`
are their only doors to XML. Values are text, as in the file; `@` references are already resolved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reader:
    """A message type the client may send; `slot` None stands for the class's own."""

    classname: str
    dll: str = ""
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Writer:
    """A message type the chain may send back."""

    classname: str
    dll: str = ""


@dataclass(frozen=True, slots=True)
class GadgetNode:
    """One gadget, branch, merge or distributor.

    Attributes:
        classname: the Gadgetron's class name.
        dll: the original's library; here only to choose between packages.
        name: given in the config; empty for none.
        properties: name -> text.
    """

    classname: str
    dll: str = ""
    name: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What messages call it: its name, else its class."""
        return self.name or self.classname


@dataclass(frozen=True, slots=True)
class Stream:
    """Nodes in a row. In a parallel node an empty stream passes everything on."""

    nodes: tuple[Node, ...] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class ParallelNode:
    """A branch feeds several streams, a merge joins their outputs."""

    branch: GadgetNode
    merge: GadgetNode
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class ParallelProcessNode:
    """Pure gadgets on a pool of threads; `workers` 0 stands for as many as there are cores."""

    gadgets: tuple[GadgetNode, ...]
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Execute:
    """Start a module as a child process."""

    name: str
    type: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to a process that waits for us."""

    port: str
    address: str = "localhost"


@dataclass(frozen=True, slots=True)
class ExternalNode:
    """A step in another process.

    Attributes:
        action: how to reach it.
        configuration: the element sent to it as its config, serialised; empty for none.
    """

    action: Execute | Connect
    configuration: bytes = b""
    readers: tuple[Reader, ...] = ()
    writers: tuple[Writer, ...] = ()


@dataclass(frozen=True, slots=True)
class DistributedNode:
    """A stream that runs on other nodes, each getting a part of the data."""

    distributor: GadgetNode
    stream: Stream
    readers: tuple[Reader, ...] = ()
    writers: tuple[Writer, ...] = ()


@dataclass(frozen=True, slots=True)
class PureDistributedNode:
    """Pure gadgets that run on other nodes, item by item."""

    gadgets: tuple[GadgetNode, ...]
    readers: tuple[Reader, ...] = ()
    writers: tuple[Writer, ...] = ()


#: Nodes that need somebody else's process.
RemoteNode = ExternalNode | DistributedNode | PureDistributedNode
Node = GadgetNode | ParallelNode | ParallelProcessNode | RemoteNode


@dataclass(frozen=True, slots=True)
class Config:
    """A whole config.

    Attributes:
        stream: the steps.
        readers: what the client may send.
        writers: what goes back to the client.
        name: for messages; `<inline>` when it came by value.
    """

    stream: Stream = field(default_factory=Stream)
    readers: tuple[Reader, ...] = ()
    writers: tuple[Writer, ...] = ()
    name: str = "<inline>"
