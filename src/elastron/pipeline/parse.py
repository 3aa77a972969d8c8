"""Config XML -> `Config`: the Gadgetron's two grammars, read safely.

Version 2 is `<configuration>` with `<version>2</version>`; the legacy form is
`<gadgetronStreamConfiguration>`, a flat list of gadgets. XML here is plain XML: no document type,
no entities, and limits on size, depth and number of elements.

Stricter than the original where it fails late or silently: what a config must have and lacks is
named here, not when (or if) the node is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element, TreeBuilder, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from elastron.errors import ConfigError
from elastron.pipeline.config import (
    Config,
    Connect,
    DistributedNode,
    Execute,
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
from elastron.pipeline.legacy import with_distributed_nodes

#: Longest config in bytes; the original's longest stock config has 16 kB.
MAX_CONFIG_BYTES = 1 << 20
#: Deepest nesting of elements; a gadget in a parallel stream is at depth 6.
MAX_DEPTH = 40
#: Most elements; the original's longest stock config has about 500.
MAX_ELEMENTS = 20_000
#: Most threads a parallelprocess node may ask for.
MAX_WORKERS = 256

_EXECUTE_TYPES = ("python", "matlab", "julia")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def parse_config(xml: bytes, name: str = "<inline>") -> Config:
    """Read a config of either grammar.

    Args:
        xml: the document, in any encoding its declaration names.
        name: for messages.

    Raises:
        ConfigError: it is not well-formed, breaks a limit, or lacks what it must have.
    """
    try:
        root = _parse_xml(xml)
        if root.tag == "gadgetronStreamConfiguration":
            stream = Stream(tuple(_legacy_nodes(root, _References(root))), "main")
            readers, writers = _readers(root), _writers(root)
        elif root.tag == "configuration" and _text(root, "version") == "2":
            element = root.find("stream")
            parser = _Version2(_References(root))
            stream = Stream() if element is None else parser.stream(element)
            readers, writers = _readers(root.find("readers")), _writers(root.find("writers"))
        else:
            raise ConfigError(
                f"No parser accepted config file: its root is <{_short(root.tag)}>. Expected "
                "<configuration> with <version>2</version>, or <gadgetronStreamConfiguration>."
            )
        return with_distributed_nodes(Config(stream, readers, writers, name))
    except ConfigError as error:
        raise ConfigError(f"Config {name!r}: {error}") from error.__cause__


# --- XML -----------------------------------------------------------------------------------------


class _LimitedBuilder(TreeBuilder):
    """Builds the tree without namespaces, and stops at the limits while reading."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise ConfigError(f"Elements are nested deeper than {MAX_DEPTH}.")
        if self._elements > MAX_ELEMENTS:
            raise ConfigError(f"More than {MAX_ELEMENTS} elements.")
        return super().start(_local(tag), {_local(key): value for key, value in attrs.items()})

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(_local(tag))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _parse_xml(xml: bytes) -> Element:
    xml = xml.rstrip(b"\0")  # some clients send the C string's end
    if len(xml) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{len(xml)} bytes are more than the limit of {MAX_CONFIG_BYTES}.")
    if not xml.strip():
        raise ConfigError("It is empty.")
    parser = XMLParser(target=_LimitedBuilder(), forbid_dtd=True)
    try:
        parser.feed(xml)
        return parser.close()
    except DefusedXmlException as error:
        raise ConfigError("Document types, entities and external references are refused.") from (
            error
        )
    # An encoding that expat does not know, or that does not fit the bytes, is a LookupError or a
    # ValueError.
    except (ParseError, LookupError, ValueError) as error:
        raise ConfigError(f"Not well-formed XML: {error}.") from error


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _text(element: Element, child: str) -> str:
    """Text of the first child of that name; empty if there is none."""
    found = element.find(child)
    text = "" if found is None else (found.text or "").strip()
    if _CONTROL.search(text):
        raise ConfigError(f"<{child}> holds control characters: {_short(text)!r}.")
    return text


# --- properties ----------------------------------------------------------------------------------


def _property(element: Element) -> tuple[str, str]:
    """Name and text of a <property>, given as attributes or as children."""
    by_attribute = "name" in element.attrib
    by_child = element.find("name") is not None
    if by_attribute and by_child:
        raise ConfigError(
            "Ambiguous property parse: a <property> has its name both as attribute, "
            f"{_short(element.attrib['name'])!r}, and as child, {_short(_text(element, 'name'))!r}."
        )
    if by_attribute:
        name, value = element.attrib["name"].strip(), element.get("value", "").strip()
    else:
        value_element = element.find("value")
        name = _text(element, "name")
        value = "" if value_element is None else (value_element.text or "").strip()
    if not name:
        raise ConfigError(
            "Unable to parse property: a <property> needs name= and value=, or <name> and <value>."
        )
    if _CONTROL.search(name):
        raise ConfigError(f"A property's name holds control characters: {_short(name)!r}.")
    return name, value


class _References:
    """`property@gadget` -> text, over the whole document; chains are followed."""

    def __init__(self, root: Element) -> None:
        self._values: dict[str, str] = {}
        for element in root.iter():
            properties = element.findall("property")
            if properties and element.find("name") is not None:
                owner = _text(element, "name")
                for each in properties:
                    name, value = _property(each)
                    self._values[f"{name}@{owner}"] = value

    def resolve(self, value: str) -> str:
        """`value`, or what it refers to if it holds an '@'."""
        visited: list[str] = []
        while "@" in value:
            if value in visited:
                chain = " -> ".join(_short(each) for each in [*visited[:8], value])
                raise ConfigError(
                    f"Cyclic reference detected in Gadget xml property: {_short(value)} ({chain})."
                )
            if value not in self._values:
                raise ConfigError(
                    f"Property reference {_short(value)!r} has no target. A value with '@' means "
                    "property@gadget, and no gadget of that name has that property here."
                )
            visited.append(value)
            value = self._values[value]
        return value


# --- parts both grammars share -------------------------------------------------------------------


def _gadget(element: Element, references: _References) -> GadgetNode:
    name, classname = _text(element, "name"), _text(element, "classname")
    if not classname:
        raise ConfigError(f"<{element.tag}> {_short(name)!r} has no <classname>.")
    properties: dict[str, str] = {}
    for each in element.findall("property"):
        key, value = _property(each)
        properties[key] = references.resolve(value)
    return GadgetNode(classname, _text(element, "dll"), name, properties)


def _readers(element: Element | None) -> tuple[Reader, ...]:
    return tuple(_reader(each) for each in _children(element, "reader"))


def _reader(element: Element) -> Reader:
    text = _text(element, "slot")
    if text and not re.fullmatch(r"[0-9]{1,5}", text):
        raise ConfigError(f"A <reader>'s slot is {_short(text)!r}, not a message id (1 to 65535).")
    return Reader(_classname(element), _text(element, "dll"), int(text) if text else None)


def _writers(element: Element | None) -> tuple[Writer, ...]:
    # The original ignores a writer's slot.
    return tuple(
        Writer(_classname(each), _text(each, "dll")) for each in _children(element, "writer")
    )


def _children(element: Element | None, tag: str) -> list[Element]:
    return [] if element is None else element.findall(tag)


def _classname(element: Element) -> str:
    classname = _text(element, "classname")
    if not classname:
        raise ConfigError(f"A <{element.tag}> has no <classname>.")
    return classname


# --- legacy grammar ------------------------------------------------------------------------------


def _legacy_nodes(root: Element, references: _References) -> Iterator[Node]:
    for element in root.findall("gadget"):
        gadget = _gadget(element, references)
        if gadget.dll == "gadgetron_python" and gadget.classname == "PythonGadget":
            yield _legacy_python(gadget)
        else:
            yield gadget


def _legacy_python(gadget: GadgetNode) -> ExternalNode:
    """A Python gadget of old is an external node whose configuration holds its properties."""
    needed = ("python_module", "python_class")
    missing = [name for name in needed if not gadget.properties.get(name)]
    if missing:
        raise ConfigError(f"PythonGadget {_short(gadget.label)!r} has no property {missing[0]!r}.")
    configuration = Element("configuration")
    for name, value in gadget.properties.items():
        each = Element("property", {"name": name, "value": value})
        configuration.append(each)
    return ExternalNode(
        Execute(gadget.properties["python_module"], "python", gadget.properties["python_class"]),
        tostring(configuration),
    )


# --- version 2 -----------------------------------------------------------------------------------


class _Version2:
    """The node types of version 2."""

    def __init__(self, references: _References) -> None:
        self._references = references
        self._nodes: dict[str, Callable[[Element], Node]] = {
            "gadget": self._gadget,
            "parallel": self._parallel,
            "parallelprocess": self._parallel_process,
            "external": self._external,
            "distributed": self._distributed,
            "puredistributed": self._pure_distributed,
        }

    def stream(self, element: Element) -> Stream:
        return Stream(tuple(self._node(each) for each in element), element.get("key", "").strip())

    def _node(self, element: Element) -> Node:
        if element.tag not in self._nodes:
            raise ConfigError(
                f"A stream cannot hold <{_short(element.tag)}>. Supported: "
                f"{', '.join(self._nodes)} (all lower case)."
            )
        return self._nodes[element.tag](element)

    def _gadget(self, element: Element) -> GadgetNode:
        return _gadget(element, self._references)

    def _parallel(self, element: Element) -> ParallelNode:
        streams = tuple(self.stream(each) for each in element.findall("stream"))
        keys = [stream.key for stream in streams]
        if not streams:
            raise ConfigError("<parallel> has no <stream>.")
        if len(set(keys)) < len(keys):
            raise ConfigError(f"The streams of a <parallel> need different keys, not {keys[:8]}.")
        return ParallelNode(
            branch=self._gadget(_child(element, "branch")),
            merge=self._gadget(_child(element, "merge")),
            streams=streams,
        )

    def _parallel_process(self, element: Element) -> ParallelProcessNode:
        text = element.get("workers", "").strip()
        if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) > MAX_WORKERS:
            raise ConfigError(
                f"<parallelprocess> needs workers= (0 to {MAX_WORKERS}, 0: one a core), "
                f"not {_short(text)!r}."
            )
        return ParallelProcessNode(self._pure_stream(element), int(text))

    def _pure_stream(self, element: Element) -> tuple[GadgetNode, ...]:
        stream = _child(element, "purestream")
        for each in stream:
            if each.tag != "gadget":
                raise ConfigError(f"A <purestream> holds gadgets only, not <{_short(each.tag)}>.")
        return tuple(self._gadget(each) for each in stream)

    def _external(self, element: Element) -> ExternalNode:
        configuration = element.find("configuration")
        if configuration is not None:
            configuration.tail = None
        return ExternalNode(
            action=self._action(element),
            configuration=b"" if configuration is None else tostring(configuration),
            readers=_readers(element.find("readers")),
            writers=_writers(element.find("writers")),
        )

    @staticmethod
    def _action(element: Element) -> Execute | Connect:
        for each in element:
            attributes = {name: value.strip() for name, value in each.attrib.items()}
            if each.tag == "execute":
                name, kind = attributes.get("name", ""), attributes.get("type", "").lower()
                if not name or kind not in _EXECUTE_TYPES:
                    raise ConfigError(
                        f"<execute> needs name= and type= (one of {', '.join(_EXECUTE_TYPES)}), "
                        f"not name={_short(name)!r} type={_short(kind)!r}."
                    )
                return Execute(name, kind, attributes.get("target") or None)
            if each.tag == "connect":
                if not attributes.get("port"):
                    raise ConfigError("<connect> needs port=.")
                return Connect(attributes["port"], attributes.get("address") or "localhost")
        raise ConfigError(
            "Unable to parse valid action for external node: it needs <execute> or <connect>."
        )

    def _distributed(self, element: Element) -> DistributedNode:
        return DistributedNode(
            distributor=self._gadget(_child(element, "distributor")),
            stream=self.stream(_child(element, "stream")),
            readers=_readers(element.find("readers")),
            writers=_writers(element.find("writers")),
        )

    def _pure_distributed(self, element: Element) -> PureDistributedNode:
        return PureDistributedNode(
            gadgets=self._pure_stream(element),
            readers=_readers(element.find("readers")),
            writers=_writers(element.find("writers")),
        )


def _child(element: Element, tag: str) -> Element:
    found = element.find(tag)
    if found is None:
        raise ConfigError(f"<{element.tag}> has no <{tag}>.")
    return found
