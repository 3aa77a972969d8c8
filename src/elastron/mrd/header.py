"""The MRD header: XML to the classes of the `ismrmrd` schema, and back.

Scanners' converters write headers that the schema forbids and the Gadgetron takes. So the rule
here is the Gadgetron's (libismrmrd xml.cpp), not the schema's:

* elements nobody knows are passed over, with or without namespace;
* a number that is missing where one is required is 0; an empty text is no text;
* sections and texts libismrmrd insists on must be there, everything else may be absent;
* a word no enumeration knows becomes `other` where there is such a thing, else it is kept;
* an optional value that cannot be read is dropped (dates, mostly).

Stricter than libismrmrd: no DTD, entity or external reference, a limited size, no text where a
number must stand, and no matrix, limit or channel count beyond the 16 bits a readout counts in.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException
from ismrmrd.xsd import ismrmrdHeader
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.formats.dataclass.serializers.config import SerializerConfig
from xsdata.models.datatype import XmlDate, XmlTime

from elastron.errors import HeaderError

NAMESPACE = "http://www.ismrm.org/ISMRMRD"

#: Bytes. Headers are 3 to 30 kB; those that carry a vendor's protocol as Base64 reach some MB.
HEADER_BYTES_MAX = 16 << 20
#: Elements (tags). A header of 64 coils, 8 encodings and 1000 user parameters has 20,000.
HEADER_TAGS_MAX = 400_000
#: Counters and sizes of a readout are 16 bits wide (AcquisitionHeader).
UINT16_MAX = 65535

#: Texts and sections without which libismrmrd refuses a header; other required ones become empty.
_INSISTED = {
    ("ismrmrdHeader", "experimentalConditions"),
    ("ismrmrdHeader", "encoding"),
    ("encodingType", "encodedSpace"),
    ("encodingType", "reconSpace"),
    ("encodingType", "encodingLimits"),
    ("encodingType", "trajectory"),
    ("encodingSpaceType", "matrixSize"),
    ("encodingSpaceType", "fieldOfView_mm"),
    ("parallelImagingType", "accelerationFactor"),
    ("measurementInformationType", "patientPosition"),
    ("measurementDependencyType", "measurementID"),
    ("measurementDependencyType", "dependencyType"),
    ("trajectoryDescriptionType", "identifier"),
}
_UINT16_CLASSES = {"matrixSizeType", "limitType", "accelerationFactorType"}
_UINT16_FIELDS = {("acquisitionSystemInformationType", "receiverChannels")}


def parse_header(xml: bytes | str, *, max_bytes: int = HEADER_BYTES_MAX) -> ismrmrdHeader:
    """Read an MRD header.

    Args:
        xml: the document; trailing NULs and leading white space are ignored.
        max_bytes: refuse anything longer.

    Raises:
        HeaderError: too long, not XML, not an MRD header, a DTD, or a value that cannot be.
            The message names the element and never a patient's data.
    """
    document = xml.encode() if isinstance(xml, str) else bytes(xml)
    document = document.strip(b"\0 \t\r\n")
    if len(document) > max_bytes:
        raise HeaderError(
            f"The MRD header is {len(document)} bytes long; the limit is {max_bytes}. "
            "Leave out large user parameters, or raise the limit."
        )
    if document.count(b"<") > HEADER_TAGS_MAX:
        raise HeaderError(f"The MRD header has more than {HEADER_TAGS_MAX} tags.")
    root = _parse_xml(document)
    if _local_name(root.tag) != "ismrmrdHeader":
        raise HeaderError(
            f"Root node 'ismrmrdHeader' not found: the document begins with "
            f"<{_local_name(root.tag)[:60]}>. Send the MRD header after the config."
        )
    return _build(ismrmrdHeader, root, "ismrmrdHeader")


def serialize_header(header: ismrmrdHeader) -> bytes:
    """Write a header as the schema orders it, UTF-8, with the ISMRMRD namespace."""
    serializer = XmlSerializer(
        config=SerializerConfig(encoding="utf-8", indent=" "), context=_serializer_context()
    )
    return serializer.render(header, ns_map={None: NAMESPACE}).encode()


@functools.cache
def _serializer_context() -> XmlContext:
    return XmlContext()


def _parse_xml(document: bytes) -> Element:
    try:
        try:
            return defusedxml.ElementTree.fromstring(document, forbid_dtd=True)
        except ParseError:
            # Names in another encoding than the declared one: libismrmrd does not look at them.
            text = document.decode("utf-8", "replace")
            if "\ufffd" not in text:
                raise
            return defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise HeaderError(
            "The MRD header has a DTD, an entity or an external reference. Those are never "
            "read; send the header without them."
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        # ParseError: "mismatched tag: line 3, column 5", no text of the document.
        what = str(error) if isinstance(error, ParseError) else "its encoding is unknown"
        raise HeaderError(f"Unable to load ISMRMRD XML header: {what}.") from error


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """How one element of a section becomes one attribute of its class."""

    name: str
    convert: Callable[[Element, str], Any]
    many: bool
    optional: bool
    section: bool
    insisted: bool
    empty: Callable[[], Any]


@functools.cache
def _fields(cls: type) -> dict[str, _Field]:
    hints = typing.get_type_hints(cls)
    table: dict[str, _Field] = {}
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        many = typing.get_origin(hint) is list
        optional = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        if many or optional:
            hint = next(a for a in typing.get_args(hint) if a is not type(None))
        section = dataclasses.is_dataclass(hint)
        table[item.metadata.get("name", item.name)] = _Field(
            name=item.name,
            convert=_converter(cls, item.name, hint, required=not (many or optional)),
            many=many,
            optional=optional,
            section=section,
            insisted=(cls.__name__, item.name) in _INSISTED,
            empty=_empty(hint),
        )
    return table


def _empty(hint: Any) -> Callable[[], Any]:
    """What stands where a required element is missing."""
    if dataclasses.is_dataclass(hint):
        return lambda: _build(hint, Element("missing"), "missing")
    if issubclass(hint, enum.Enum):
        return lambda: getattr(hint, "OTHER", next(iter(hint)))
    return hint


def _converter(cls: type, name: str, hint: Any, *, required: bool) -> Callable[[Element, str], Any]:
    if dataclasses.is_dataclass(hint):
        return functools.partial(_build_section, hint)
    if issubclass(hint, enum.Enum):
        return functools.partial(_word, hint, required)
    if hint is int:
        uint16 = cls.__name__ in _UINT16_CLASSES or (cls.__name__, name) in _UINT16_FIELDS
        return functools.partial(_integer, uint16)
    if hint in (XmlDate, XmlTime):
        return functools.partial(_moment, hint)
    return {float: _number, bytes: _base64, str: _string}[hint]


def _build_section(cls: Any, element: Element, path: str) -> Any:
    return _build(cls, element, path)


def _build(cls: Any, element: Element, path: str) -> Any:
    table = _fields(cls)
    values: dict[str, Any] = {}
    for child in element:
        tag = _local_name(child.tag)
        field = table.get(tag)
        if field is None:
            continue
        if not field.section and not field.insisted and not (child.text and child.text.strip()):
            if field.many:
                values.setdefault(field.name, []).append(field.empty())
            continue
        if field.many:
            values.setdefault(field.name, []).append(field.convert(child, f"{path}/{tag}"))
        elif field.name not in values:  # the first one counts, as in pugixml's child()
            values[field.name] = field.convert(child, f"{path}/{tag}")
    for tag, field in table.items():
        if field.name in values:
            continue
        if field.insisted:
            raise HeaderError(f"The MRD header lacks {path}/{tag}. Every header must have it.")
        if not field.many and not field.optional:
            values[field.name] = field.empty()
    return cls(**values)


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _string(element: Element, path: str) -> str:
    return _text(element)


def _word(cls: type[enum.Enum], required: bool, element: Element, path: str) -> Any:
    text = _text(element)
    try:
        return cls(text)
    except ValueError:
        pass
    if not text and required:
        raise HeaderError(f"{path} of the MRD header is empty.")
    other = getattr(cls, "OTHER", None)
    if other is not None or not required:
        return other
    # Kept as it is, so that it is passed on unchanged: patient positions the schema lacks.
    word = object.__new__(cls)
    word._name_, word._value_ = "UNKNOWN", text[:64]
    return word


def _integer(uint16: bool, element: Element, path: str) -> int:
    text = _text(element)
    if text.lstrip("+-").isdecimal() and len(text) < 20:
        value = int(text)
    else:
        number = _number(element, path)
        if not math.isfinite(number):
            raise _not_a_number(path)
        value = int(number)
    if uint16 and not 0 <= value <= UINT16_MAX:
        raise HeaderError(
            f"{path} of the MRD header is {value}; it must lie between 0 and {UINT16_MAX}."
        )
    return value


def _number(element: Element, path: str) -> float:
    try:
        return float(_text(element))
    except ValueError:
        raise _not_a_number(path) from None


def _not_a_number(path: str) -> HeaderError:
    return HeaderError(f"{path} of the MRD header is not a number.")


def _base64(element: Element, path: str) -> bytes:
    try:
        return base64.b64decode(_text(element))
    except ValueError:
        raise HeaderError(f"{path} of the MRD header is not Base64.") from None


def _moment(cls: Any, element: Element, path: str) -> Any:
    try:
        return cls.from_string(_text(element))
    except ValueError:
        return None
