"""What a server may answer."""

from __future__ import annotations

import numpy as np

from elastron.mrd.image import Image
from elastron.wire import encode
from elastron.wire.messages import Message
from tests.client.images import make_image


def small_image() -> Image:
    return make_image(np.arange(16, dtype=np.uint16).reshape(4, 4))


def wire_bytes(*messages: Message) -> bytes:
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))
