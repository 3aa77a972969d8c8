"""Leaving a scan with a gateway: asking for a ticket first, and for a receipt last.

    QUERY elastron::session  ->  RESPONSE with the ticket
    config, header, data     ->
    QUERY elastron::detach
    CLOSE                    ->  RESPONSE: the whole scan is in the gateway's hands

Only then does the client hang up: hanging up earlier, with images unread, could make TCP throw
away the end of the scan.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from elastron.client.address import Address
from elastron.errors import ConnectionLostError, RemoteError
from elastron.wire.messages import Close, Message, Query, Response

SESSION_QUERY = "elastron::session"
DETACH_QUERY = "elastron::detach"

_SESSION, _DETACH = 1, 2  # correlation ids
#: A gateway answers at once; a server that knows no queries is noticed so.
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a client keeps when it leaves.

    Attributes:
        session: the gateway's name for the scan, as in its logs.
        ticket: whoever has it gets the images; a secret.
    """

    session: str
    ticket: str


class Departed(Exception):  # noqa: N818 - no error
    """The gateway has the whole scan: nothing more to wait for."""


class Departure:
    """One scan's leaving.

    Args:
        address: of the server, for errors.
        on_ticket: told the ticket, in the receiving thread.
    """

    def __init__(self, address: Address, on_ticket: Callable[[Ticket], None] | None) -> None:
        self._address = address
        self._on_ticket = on_ticket
        self._answered = threading.Event()
        self._ended = False
        self._ticket: Ticket | None = None

    def outgoing(self, scan: Iterator[Message]) -> Iterator[Message]:
        """What is sent; waits for the ticket before the first byte of the scan.

        Raises:
            RemoteError: there is none.
        """
        yield Query(SESSION_QUERY, _SESSION)
        self._answered.wait(_ANSWER_S)
        if self._ended:
            return  # what was received tells why
        if self._ticket is None:
            raise self.kept_nothing()
        for message in scan:
            if isinstance(message, Close):
                yield Query(DETACH_QUERY, _DETACH)
            yield message

    def receive(self, message: Message) -> None:
        """Take a message that is neither image nor text.

        Raises:
            Departed: the gateway has everything.
        """
        match message:
            case Response(text, correlation_id) if correlation_id == _SESSION:
                self._ticket = _ticket_of(text)
                if self._ticket is not None and self._on_ticket is not None:
                    self._on_ticket(self._ticket)
                self._answered.set()
            case Response(_, correlation_id) if correlation_id == _DETACH:
                raise Departed
            case _:
                pass  # images and what goes with them are fetched later

    def ended(self) -> None:
        """Nothing more will be received: wait no longer."""
        self._ended = self._ended or not self._answered.is_set()
        self._answered.set()

    def left(self) -> Ticket:
        """The ticket, once the gateway has everything."""
        if self._ticket is None:
            raise self.kept_nothing()
        return self._ticket

    def kept_nothing(self) -> RemoteError | ConnectionLostError:
        """Why the client cannot leave its scan here."""
        if self._ticket is not None:
            return ConnectionLostError(
                f"{self._address} ended the session before it confirmed that it has the whole "
                f"scan. Its images may be there all the same: elastron fetch {self._ticket.ticket}"
            )
        return RemoteError(
            f"{self._address} keeps no images for clients that leave: it is no Elastron gateway, "
            "or keeps too many already. Send without detaching."
        )


def _ticket_of(text: str) -> Ticket | None:
    try:
        told = json.loads(text)
        session, ticket = told["session"], told["ticket"]
    except (ValueError, TypeError, KeyError):
        return None
    if isinstance(session, str) and isinstance(ticket, str) and ticket:
        return Ticket(session, ticket)
    return None
