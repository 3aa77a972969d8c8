"""A server's side of a connection: which message is legal when, and what it leads to.

The states and the texts of refusals are the Gadgetron's (apps/gadgetron/connection), as one
table. Pure: the caller reads, acts and writes.
"""

from __future__ import annotations

import enum

from elastron.errors import ConnectionLostError, ProtocolError, StateError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.buffers import Bucket, ImageArray, ReconData
from elastron.mrd.image import Image
from elastron.mrd.waveform import Waveform
from elastron.wire import messages
from elastron.wire.layout import name_of
from elastron.wire.messages import Message, MessageId


class State(enum.Enum):
    """What the server waits for; the Gadgetron logs `Connection state: [NAME]`."""

    CONFIG = "CONFIG"
    HEADER = "HEADER"
    STREAM = "STREAM"
    VOID = "VOID"  # the chain runs without input; nothing more is read
    FINISHED = "FINISHED"


class Action(enum.Enum):
    """What the server is to do with a message."""

    CONFIGURE = "configure"  # build a chain from the config
    START = "start"  # parse the header and start the chain
    PROCESS = "process"  # into the chain
    ANSWER = "answer"  # a query, with a RESPONSE
    LOG = "log"  # a text for people
    START_EMPTY = "start empty"  # start the chain with a default header and no input
    END_INPUT = "end input"  # no more data: let the chain finish
    FINISH = "finish"  # nothing was asked for: answer CLOSE


_SECOND_CONFIG = "Received second config file. Only one allowed."
_NO_CONFIG = "Received ISMRMRD header before config file."
_SECOND_HEADER = "Received second ISMRMRD header. Only one allowed."

#: (state, message) -> (what to do, state after it), or the original's text of refusal.
#: In STREAM every message that the config's readers can read is processed besides; all that is
#: not here is refused.
TRANSITIONS: dict[tuple[State, MessageId], tuple[Action, State] | str] = {
    (State.CONFIG, MessageId.FILENAME): (Action.CONFIGURE, State.HEADER),
    (State.CONFIG, MessageId.CONFIG): (Action.CONFIGURE, State.HEADER),
    (State.CONFIG, MessageId.HEADER): _NO_CONFIG,
    (State.CONFIG, MessageId.QUERY): (Action.ANSWER, State.CONFIG),
    (State.CONFIG, MessageId.CLOSE): (Action.FINISH, State.FINISHED),
    (State.HEADER, MessageId.FILENAME): _SECOND_CONFIG,
    (State.HEADER, MessageId.CONFIG): _SECOND_CONFIG,
    (State.HEADER, MessageId.HEADER): (Action.START, State.STREAM),
    (State.HEADER, MessageId.TEXT): (Action.LOG, State.HEADER),
    (State.HEADER, MessageId.QUERY): (Action.ANSWER, State.HEADER),
    (State.HEADER, MessageId.CLOSE): (Action.START_EMPTY, State.VOID),
    (State.STREAM, MessageId.FILENAME): _SECOND_CONFIG,
    (State.STREAM, MessageId.CONFIG): _SECOND_CONFIG,
    (State.STREAM, MessageId.HEADER): _SECOND_HEADER,
    (State.STREAM, MessageId.TEXT): (Action.LOG, State.STREAM),
    (State.STREAM, MessageId.QUERY): (Action.ANSWER, State.STREAM),
    (State.STREAM, MessageId.CLOSE): (Action.END_INPUT, State.FINISHED),
}

#: What the peer should have sent, for errors.
_EXPECTED = {
    State.CONFIG: "a config (FILENAME or CONFIG)",
    State.HEADER: "the MRD header (HEADER)",
    State.STREAM: "data that the config's readers take, or CLOSE",
    State.VOID: "nothing: the input was closed",
    State.FINISHED: "nothing: the input was closed",
}

_IDS: dict[type, MessageId] = {
    messages.ConfigName: MessageId.FILENAME,
    messages.ConfigXml: MessageId.CONFIG,
    messages.HeaderXml: MessageId.HEADER,
    messages.Close: MessageId.CLOSE,
    messages.Text: MessageId.TEXT,
    messages.Query: MessageId.QUERY,
    messages.Response: MessageId.RESPONSE,
    messages.Error: MessageId.ERROR,
    messages.DependencyQuery: MessageId.DEPENDENCY_QUERY,
    messages.DicomWithName: MessageId.DICOM_WITHNAME,
    AcquisitionBatch: MessageId.ACQUISITION,
    Waveform: MessageId.WAVEFORM,
    Image: MessageId.IMAGE,
    ReconData: MessageId.RECON_DATA,
    ImageArray: MessageId.IMAGE_ARRAY,
    Bucket: MessageId.BUCKET,
}


def message_id(message: Message) -> MessageId:
    """The id a message has on the wire."""
    return _IDS[type(message)]


class ServerSession:
    """The order of one connection's messages.

    Attributes:
        state: what is waited for.
    """

    def __init__(self) -> None:
        self.state = State.CONFIG
        self._readable: frozenset[MessageId] | None = None

    def set_readable(self, readable: frozenset[MessageId]) -> None:
        """Which data the config's readers take; until then STREAM takes all data."""
        self._readable = readable

    def receive(self, message: Message) -> Action:
        """What a message leads to; the state moves on.

        Raises:
            StateError: not legal now; the session is finished.
            ProtocolError: a query with reserved bits set; the session is finished.
        """
        reserved = message.reserved if isinstance(message, messages.Query) else 0
        return self.receive_id(message_id(message), reserved=reserved)

    def receive_id(self, number: MessageId, *, reserved: int = 0) -> Action:
        """As `receive`, for who knows a message only by its id.

        Args:
            number: of the message.
            reserved: bits of a query.

        Raises:
            StateError, ProtocolError: as `receive`.
        """
        outcome = TRANSITIONS.get((self.state, number))
        if self.state is State.STREAM and self._reads(number):
            return Action.PROCESS
        if isinstance(outcome, tuple):
            if reserved != 0:
                self.state = State.FINISHED
                raise ProtocolError("Unsupported value in reserved bytes.")
            action, self.state = outcome
            return action
        refusal = outcome or (
            f"{name_of(number)} cannot be taken in state {self.state.value}; expected "
            f"{_EXPECTED[self.state]}."
        )
        self.state = State.FINISHED
        raise StateError(refusal)

    def eof(self) -> None:
        """The peer sent its last byte, without CLOSE unless the session is finished.

        Raises:
            ConnectionLostError: a scan was under way; the session is finished. A peer that
                leaves without having asked for anything (a port check) is no error.
        """
        state, self.state = self.state, State.FINISHED
        if state in (State.HEADER, State.STREAM):
            raise ConnectionLostError(
                f"The peer went away in state {state.value}, without CLOSE; expected "
                f"{_EXPECTED[state]}."
            )

    def _reads(self, number: MessageId) -> bool:
        # Readers may claim TEXT for the chain, as in the original; no other control message.
        if number is MessageId.TEXT:
            return self._readable is not None and number in self._readable
        if number < MessageId.ACQUISITION:
            return False
        return self._readable is None or number in self._readable
