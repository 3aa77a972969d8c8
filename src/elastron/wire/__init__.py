"""The Gadgetron protocol without I/O: bytes in, messages out, and back."""

from elastron.wire.decoder import CHUNK_BYTES, Decoder
from elastron.wire.encoder import encode, iter_encode, message_nbytes
from elastron.wire.limits import Limits
from elastron.wire.parts import Buffer
from elastron.wire.session import TRANSITIONS, Action, ServerSession, State, message_id

__all__ = [
    "CHUNK_BYTES",
    "TRANSITIONS",
    "Action",
    "Buffer",
    "Decoder",
    "Limits",
    "ServerSession",
    "State",
    "encode",
    "iter_encode",
    "message_id",
    "message_nbytes",
]
