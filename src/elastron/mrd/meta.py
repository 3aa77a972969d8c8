"""Attributes of an image: the ISMRMRD meta container, and its XML.

The XML is laid out as libismrmrd lays it out (pugixml: tabs, names in byte order), so that what
a Gadgetron wrote is written again byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from numbers import Integral
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from elastron.errors import DataError

MetaValue = str | int | float

#: Tags in one document. The Gadgetron's images have 300; every tag costs 200 bytes of memory.
META_TAGS_MAX = 200_000

_PROLOG = '<?xml version="1.0"?>\n<ismrmrdMeta>\n'
# What XML 1.0 cannot hold (control characters, lone surrogates) is left out.
_SPECIAL = re.compile("[&<>\r]|[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


class Meta(dict[str, list[MetaValue]]):
    """Name -> list of values; order of insertion is kept, XML is written sorted by name.

    Values read from XML are strings; `float()` or `int()` them where a number is meant.
    """

    def put(self, name: str, *values: MetaValue) -> None:
        """Replace the values of `name`."""
        self[name] = list(values)

    def add(self, name: str, *values: MetaValue) -> None:
        """Append to the values of `name`."""
        self.setdefault(name, []).extend(values)

    def first(self, name: str, default: MetaValue | None = None) -> MetaValue | None:
        """The first value of `name`, or `default`."""
        values: Iterable[MetaValue] = self.get(name, ())
        return next(iter(values), default)

    def copy(self) -> Meta:
        """A copy that shares no list with this one."""
        return Meta({name: list(values) for name, values in self.items()})

    @classmethod
    def from_xml(cls, xml: bytes | str) -> Meta:
        """Read attributes; nothing but white space and NULs means none.

        Raises:
            DataError: not ISMRMRD meta XML, or a DTD in it.
        """
        document = xml.encode() if isinstance(xml, str) else bytes(xml)
        document = document.strip(b"\0 \t\r\n")
        if not document:
            return cls()
        if document.count(b"<") > META_TAGS_MAX:
            raise DataError(f"Attributes have more than {META_TAGS_MAX} tags.")
        root = _parse_xml(document)
        if root.tag != "ismrmrdMeta":
            raise DataError(f"Attributes begin with <{root.tag[:60]}>; expected <ismrmrdMeta>.")
        meta = cls()
        for entry in root:
            if entry.tag != "meta":
                continue
            name = entry.findtext("name")
            values = [child.text or "" for child in entry if child.tag == "value"]
            if not name or not values:
                raise DataError("Malformed attribute: a <meta> needs a <name> and a <value>.")
            meta.add(name, *values)
        return meta

    def to_xml(self) -> bytes:
        """Write as libismrmrd does; numbers with six digits, as its streams do; b"" if empty."""
        if not self:
            return b""
        parts = [_PROLOG]
        for name in sorted(self):
            parts.append(f"\t<meta>\n\t\t<name>{_escape(name)}</name>\n")
            parts.extend(f"\t\t<value>{_format(v)}</value>\n" for v in self[name])
            parts.append("\t</meta>\n")
        parts.append("</ismrmrdMeta>\n")
        return "".join(parts).encode()


def _parse_xml(document: bytes) -> Element:
    try:
        return defusedxml.ElementTree.fromstring(document, forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError("Attributes have a DTD, an entity or an external reference.") from error
    except (ParseError, ValueError, LookupError) as error:
        what = str(error) if isinstance(error, ParseError) else "unknown encoding"
        raise DataError(f"Attributes are not ISMRMRD meta XML: {what}.") from error


def _format(value: MetaValue) -> str:
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, Integral):
        return str(int(value))
    return f"{value:.6g}"


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], ""), text)
