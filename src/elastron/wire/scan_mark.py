"""How a node tells another which parts belong to one scan: a comment in the config it sends.

Every part comes over a connection of its own. A node that has worked on one and sees the next of
the same scan can go on in the same process, whose memory is warm. The mark is a random number for
each scan, behind the XML declaration, where every other server skips it as a comment.
"""

from __future__ import annotations

import re
import secrets

#: As pugixml writes it, and so do nodes.
XML_DECLARATION = b'<?xml version="1.0"?>\n'
#: First bytes of a connection among which a mark is found.
OPENING_BYTES = 128

_MARKED = re.compile(re.escape(XML_DECLARATION) + rb"<!-- scan ([0-9a-f]{32}) -->\n")
_CONFIG_HEAD = 2 + 4  # message id 2, length
_CONFIG_ID = b"\x02\x00"


def new_mark() -> str:
    """A number for one scan, which nobody can guess."""
    return secrets.token_hex(16)


def marked(xml: bytes, mark: str) -> bytes:
    """A config as it is sent with a part of the scan."""
    body = xml.removeprefix(XML_DECLARATION)
    return XML_DECLARATION + f"<!-- scan {mark} -->\n".encode() + body


def unmarked(xml: bytes) -> bytes:
    """The config without its mark, if it has one."""
    return _MARKED.sub(XML_DECLARATION, xml, count=1) if _MARKED.match(xml) else xml


def mark_of(opening: bytes) -> str | None:
    """The mark in a connection's first bytes, which may be any; None without one."""
    found = _MARKED.match(opening, _CONFIG_HEAD) if opening.startswith(_CONFIG_ID) else None
    return None if found is None else found[1].decode()
