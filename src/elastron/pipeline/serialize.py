"""`Config` -> XML of version 2, as it is sent to other nodes."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, tostring

from defusedxml.ElementTree import fromstring

from elastron.pipeline.config import (
    Config,
    Connect,
    DistributedNode,
    ExternalNode,
    GadgetNode,
    Node,
    ParallelNode,
    ParallelProcessNode,
    PureDistributedNode,
    Reader,
    Stream,
    Writer,
)


def serialize_config(config: Config) -> bytes:
    """The config as a version 2 document; `parse_config` of it gives an equal `Config`.

    Property references are written as the values they stood for.
    """
    root = Element("configuration")
    SubElement(root, "version").text = "2"
    _readers(root, config.readers)
    _writers(root, config.writers)
    _stream(root, config.stream)
    return tostring(root, encoding="utf-8", xml_declaration=True)


def _readers(parent: Element, readers: Iterable[Reader]) -> None:
    group = SubElement(parent, "readers")
    for reader in readers:
        element = SubElement(group, "reader")
        if reader.slot is not None:
            SubElement(element, "slot").text = str(reader.slot)
        _class(element, reader.dll, reader.classname)


def _writers(parent: Element, writers: Iterable[Writer]) -> None:
    group = SubElement(parent, "writers")
    for writer in writers:
        _class(SubElement(group, "writer"), writer.dll, writer.classname)


def _class(element: Element, dll: str, classname: str) -> None:
    SubElement(element, "dll").text = dll
    SubElement(element, "classname").text = classname


def _gadget(parent: Element, tag: str, gadget: GadgetNode) -> None:
    element = SubElement(parent, tag)
    if gadget.name:
        SubElement(element, "name").text = gadget.name
    _class(element, gadget.dll, gadget.classname)
    for name, value in gadget.properties.items():
        SubElement(element, "property", {"name": name, "value": value})


def _stream(parent: Element, stream: Stream) -> None:
    element = SubElement(parent, "stream", {"key": stream.key} if stream.key else {})
    for node in stream.nodes:
        _node(element, node)


def _pure_stream(parent: Element, gadgets: Iterable[GadgetNode]) -> None:
    element = SubElement(parent, "purestream")
    for gadget in gadgets:
        _gadget(element, "gadget", gadget)


def _node(parent: Element, node: Node) -> None:
    match node:
        case GadgetNode():
            _gadget(parent, "gadget", node)
        case ParallelNode():
            element = SubElement(parent, "parallel")
            _gadget(element, "branch", node.branch)
            _gadget(element, "merge", node.merge)
            for stream in node.streams:
                _stream(element, stream)
        case ParallelProcessNode():
            element = SubElement(parent, "parallelprocess", {"workers": str(node.workers)})
            _pure_stream(element, node.gadgets)
        case ExternalNode():
            _external(SubElement(parent, "external"), node)
        case DistributedNode():
            element = SubElement(parent, "distributed")
            _readers(element, node.readers)
            _writers(element, node.writers)
            _gadget(element, "distributor", node.distributor)
            _stream(element, node.stream)
        case PureDistributedNode():
            element = SubElement(parent, "puredistributed")
            _readers(element, node.readers)
            _writers(element, node.writers)
            _pure_stream(element, node.gadgets)


def _external(element: Element, node: ExternalNode) -> None:
    action = node.action
    if isinstance(action, Connect):
        SubElement(element, "connect", {"address": action.address, "port": action.port})
    else:
        attributes = {"name": action.name, "type": action.type}
        if action.target is not None:
            attributes["target"] = action.target
        SubElement(element, "execute", attributes)
    if node.configuration:
        element.append(fromstring(node.configuration, forbid_dtd=True))
    _readers(element, node.readers)
    _writers(element, node.writers)
