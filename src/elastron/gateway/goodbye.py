"""A session's goodbye: the client is told how it went, and has time to take what it is sent."""

from __future__ import annotations

import asyncio

from elastron.gateway.client_side import ClientSide
from elastron.gateway.links import Link
from elastron.gateway.output import Output
from elastron.gateway.settings import GatewaySettings
from elastron.wire.messages import Close, Text


class Goodbye:
    """The end of a client's connection.

    Args:
        link: to the client.
        client: what it sends.
        output: what it is sent.
        settings: what a client may take.

    Attributes:
        begun: it is all that is left to do.
        unheard: nobody is there to hear it.
    """

    def __init__(
        self, link: Link, client: ClientSide, output: Output, settings: GatewaySettings
    ) -> None:
        self._link = link
        self._client = client
        self._output = output
        self._settings = settings
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begun = False
        self.unheard = False

    @property
    def over(self) -> bool:
        """Nothing is waited for any more."""
        return self._over.done()

    async def say(self, words: str | None) -> None:
        """Say it, and wait until the client has taken everything.

        Args:
            words: an error; None: there is none.
        """
        client, output = self._client, self._output
        if words is not None:
            output.say(Text(words))
        if client.config is not None or client.closed or words is not None:
            output.say(Close())
        if self.unheard or output.client_left:
            return
        output.when_all_sent(self.end)
        # If it goes on sending, its words must not fill the socket's buffers meanwhile.
        client.discard()
        await self._over
        if output.client_left:
            return
        self._link.end()
        # What is unread makes a close a reset, which would take the words with it.
        if client.bytes and not (client.closed or client.eof):
            self._over = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._over}, timeout=self._settings.linger_timeout_s)

    def end(self) -> None:
        """Wait for nothing any more."""
        if not self._over.done():
            self._over.set_result(None)

    def client_ended(self) -> None:
        """The client's last byte came."""
        if self.begun and self._output.pump.idle:
            self.end()

    def check_flood(self) -> None:
        """Wait no longer for a client that sends on and on."""
        if self.begun and self._client.discarded_bytes > self._settings.linger_bytes_max:
            self.end()
