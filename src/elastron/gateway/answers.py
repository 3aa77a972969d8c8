"""What the gateway answers to a client's questions, tickets for a late fetch among it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from elastron.errors import ProtocolError
from elastron.gateway.output import Output
from elastron.service.queries import answer
from elastron.wire.messages import Query, Response

if TYPE_CHECKING:
    from elastron.gateway.server import Gateway

#: Questions of one session; a client asks a handful.
_QUERIES_MAX = 1000
_SESSION, _DETACH, _STATUS = "elastron::session", "elastron::detach", "elastron::status"


class Answers:
    """The questions of one session.

    Args:
        gateway: that is asked.
        session_id: of the session.
        output: answers go there; it is recorded once there is a ticket.
    """

    def __init__(self, gateway: Gateway, session_id: str, output: Output) -> None:
        self._gateway = gateway
        self._session_id = session_id
        self._output = output
        self._count = 0
        self._detach: Query | None = None

    def query(self, query: Query) -> None:
        """Answer; the wish to leave only when the whole scan is there.

        Raises:
            ProtocolError: too many questions.
        """
        self._count += 1
        if self._count > _QUERIES_MAX:
            raise ProtocolError(f"more than {_QUERIES_MAX} queries in one session")
        if query.query == _DETACH:
            self._detach = query
        elif query.query == _SESSION:
            self._say(query, self._ticket()[0])
        else:
            status = self._gateway.status() if query.query == _STATUS else {}
            self._say(query, answer(query.query, status=status))

    def all_received(self) -> bool:
        """The client's CLOSE is there; whether the client wants to leave, and may."""
        if self._detach is None:
            return False
        query, self._detach = self._detach, None
        words, issued = self._ticket()
        self._say(query, words)
        return issued

    def _ticket(self) -> tuple[str, bool]:
        ticket = self._gateway.results.issue(self._session_id)
        if ticket is not None:
            self._output.record()
        return json.dumps({"session": self._session_id, "ticket": ticket}), ticket is not None

    def _say(self, query: Query, words: str) -> None:
        self._output.say(Response(words, query.correlation_id))
