"""Work that a peer does: one thread sends what it gets, another receives what comes of it."""

from __future__ import annotations

import threading

from elastron.errors import ConnectionLostError
from elastron.pipeline.remote import Link, Remote
from elastron.wire import Buffer


class PeerWork:
    """A connection to a peer, from its opening to its end.

    Args:
        peer: where.
        remote: what it works on.
        greeting: what it is sent first.
        changed: the lock of whom the work is for; told of every change.
        name: of the work, for its threads.

    Attributes:
        peer: where.
    """

    def __init__(
        self,
        peer: str,
        remote: Remote,
        greeting: list[Buffer],
        *,
        changed: threading.Condition,
        name: str,
    ) -> None:
        self.peer = peer
        self._remote = remote
        self._greeting = greeting
        self._changed = changed
        self._name = name
        self._aborted = False
        self._link: Link | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name} sender", daemon=True)

    def start(self) -> None:
        """Connect, and begin."""
        self._thread.start()

    def abort(self) -> None:
        """End it at once; the lock is held."""
        self._aborted = True
        if self._link is not None:
            self._link.abort()
        self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait until its threads have ended."""
        self._thread.join(timeout_s)

    @property
    def connected(self) -> bool:
        """The link is open."""
        return self._link is not None

    # --- what the kinds of work differ in -------------------------------------------------------

    def _opened(self) -> None:
        """The link is there; the lock is held."""

    def _send(self, link: Link) -> None:
        """Send everything, from the greeting to CLOSE."""
        raise NotImplementedError

    def _receive(self, link: Link) -> Exception | None:
        """Take all results; returns what went wrong."""
        raise NotImplementedError

    def _ended(self, error: Exception | None) -> None:
        """Tell of the end; None: nothing went wrong."""
        raise NotImplementedError

    # --- its threads ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            link = self._remote.connect(self.peer)
        except Exception as error:  # reported to whom the work is for
            self._ended(error)
            return
        with self._changed:
            self._link = link
            if self._aborted:
                link.abort()
            self._opened()
        self._exchange(link)
        with self._changed:
            self._link = None  # nobody aborts what is closed
        link.close()

    def _exchange(self, link: Link) -> None:
        """Send and receive, both at a time."""
        receiver = threading.Thread(
            target=self._receive_beside, args=(link,), name=f"{self._name} receiver", daemon=True
        )
        receiver.start()
        try:
            self._send(link)
        except ConnectionLostError:
            pass  # the receiver learns of it, and perhaps why
        except Exception:
            link.abort()
        receiver.join()

    def _receive_beside(self, link: Link) -> None:
        failure = self._receive(link)
        with self._changed:
            self.abort()  # the sender may wait for more
        self._ended(failure)
