"""What an engine tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """How far something is."""

    BEGUN = "begun"
    GOES_ON = "goes-on"
    DONE = "done"
    NOTE = "note"  # nothing of its own; worth knowing


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened.

    Attributes:
        step: what.
        what: to whom, such as `cluster mrrecon`; for notes the whole sentence.
        doing: a word such as `create`; empty for notes.
        elapsed_s: since it was begun.
        number: of this change among all, from 1; 0: it is none of them.
        total: changes in all.
    """

    step: Step
    what: str
    doing: str = ""
    elapsed_s: float = 0.0
    number: int = 0
    total: int = 0


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """For who wants to hear nothing."""


def note(text: str) -> Event:
    """A sentence."""
    return Event(Step.NOTE, text)
