"""Sorting what a server sends: images, texts, errors, the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

from elastron.client.result import Result
from elastron.mrd.image import Image
from elastron.wire.messages import Error, Message, Text

#: How a Gadgetron marks an error within a text: `[where] ERROR: what`.
_ERROR_TEXT = re.compile(r"(^|\]\s*)ERROR\b")


class Receipt:
    """Sorts what comes into the result and the caller's hands.

    Args:
        result: takes what nobody else does.
        started: when the conversation began (monotonic, s).
        on_image: called with each image; its pixels are views of received memory. None: copies
            are collected in the result.
        on_text: called with each text, errors too.
        on_other: called with what is neither image nor text.
    """

    def __init__(
        self,
        result: Result,
        started: float,
        on_image: Callable[[Image], None] | None,
        on_text: Callable[[str], None] | None,
        on_other: Callable[[Message], None] | None,
    ) -> None:
        self._result = result
        self._started = started
        self._on_image = on_image
        self._on_text = on_text
        self._on_other = on_other

    def __call__(self, message: Message) -> None:
        """Take one message."""
        result = self._result
        match message:
            case Image():
                if result.first_image_seconds is None:
                    result.first_image_seconds = time.monotonic() - self._started
                result.image_count += 1
                if self._on_image is not None:
                    self._on_image(message)
                else:
                    # A view would keep a whole receive buffer alive, and is read-only.
                    copied = replace(
                        message, header=message.header.copy(), data=message.data.copy()
                    )
                    result.images.append(copied)
            case Text(text) | Error(text):
                error = isinstance(message, Error) or _ERROR_TEXT.search(text) is not None
                (result.errors if error else result.texts).append(text)
                if self._on_text is not None:
                    self._on_text(text)
            case _ if self._on_other is not None:
                self._on_other(message)
            case _:
                result.others.append(message)
