"""`Config` -> XML of version 2, as it is sent to other nodes.

The order of elements is the original's serialiser's. So a config that came by value can be told: if
it is written as nodes write them, the client is a node that has us work on a part of its scan.
"""

from __future__ import annotations

import re
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
from elastron.wire.scan_mark import XML_DECLARATION, unmarked


def serialize_config(config: Config) -> bytes:
    """The config as a version 2 document; `parse_config` of it gives an equal `Config`.

    Property references are written as the values they stood for.
    """
    root = Element("configuration")
    SubElement(root, "version").text = "2"
    _readers(root, config.readers)
    _writers(root, config.writers)
    _stream(root, config.stream)
    return XML_DECLARATION + tostring(root, encoding="utf-8")


def written_by_node(xml: bytes, config: Config) -> bool:
    """Whether a config was written by a node, ours or a Gadgetron, and not by people.

    Args:
        xml: as received.
        config: what `parse_config` made of it.
    """
    body = unmarked(xml.rstrip(b"\0"))
    if not body.startswith(XML_DECLARATION.rstrip()):
        return False
    return _plain(body) == _plain(serialize_config(config))


def _plain(xml: bytes) -> bytes:
    """XML without layout: blanks between elements, and the two ways to write an empty one."""
    xml = re.sub(rb">\s+<", b"><", xml.strip())
    return re.sub(rb"\s*/>", b"/>", re.sub(rb"<([\w]+)([^<>]*)></\1>", rb"<\1\2/>", xml))


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
    _class(element, gadget.dll, gadget.classname)
    if gadget.name:
        SubElement(element, "name").text = gadget.name
    for name, value in gadget.properties.items():
        SubElement(element, "property", {"name": name, "value": value})


def _stream(parent: Element, stream: Stream) -> None:
    element = SubElement(parent, "stream", {"key": stream.key})
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
            _gadget(element, "merge", node.merge)
            _gadget(element, "branch", node.branch)
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
    _readers(element, node.readers)
    _writers(element, node.writers)
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
