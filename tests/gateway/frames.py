"""Frames of a node's output, made by hand, and what it says of a fault."""

from __future__ import annotations

from elastron.wire.faults import LOCATION, Fault, fault_words
from elastron.wire.framing import Frame
from elastron.wire.messages import MessageId


def image(identity: int, content: int = 0) -> Frame:
    return Frame(MessageId.IMAGE, 0, 1000, 1, identity, content)


def text(identity: int = 0) -> Frame:
    return Frame(MessageId.TEXT, 0, 50, 1, identity, 0)


CLOSE = Frame(MessageId.CLOSE, 0, 2, 1, 0, 0)


def said(fault: Fault) -> str:
    return f"[{LOCATION}] ERROR: {fault_words(fault, ' (more)')}"
