"""`kubectl port-forward`, kept up: a pod that leaves or a line that breaks is not the end of it."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from elastron.cloud.program import COMPLAINT_CHARS_MAX, Program
from elastron.errors import DeadlineError, ElastronError, RemoteError

#: For the first beginning.
BEGIN_S = 30.0
#: Between tries to begin anew: from, to.
PAUSE_S = (0.2, 5.0)
_BEGUN = re.compile(rb"Forwarding from .*:(\d+) -> ")


class PortForward:
    """A port here that leads to one there, as long as the context lasts.

    `kubectl port-forward` is bound to one pod and ends with it; it is then started anew on the
    same local port. Connections that ran through it break.

    Args:
        program: kubectl.
        arguments: `port-forward`, the target and where it is.
        port: there.
        local_port: here; 0: a free one.
        host: address of this machine.

    Attributes:
        port: here.
        begun: how often it has begun.
        problem: why it is down at the moment; empty: it is up.
        on_change: called, from another thread, when it goes down or comes up.
    """

    def __init__(
        self,
        program: Program,
        arguments: tuple[str, ...],
        port: int | str,
        *,
        local_port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self._program = program
        self._arguments = arguments
        self._there = port
        self.port = local_port
        self.host = host
        self.begun = 0
        self.problem = "not begun yet"
        self.on_change: Callable[[], None] = lambda: None
        self._up = threading.Event()
        self._leaving = threading.Event()
        self._failed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT here."""
        return f"{self.host}:{self.port}"

    def wait_up(self, timeout_s: float) -> bool:
        """Wait until it is up; whether it is."""
        return self._up.wait(timeout_s)

    def __enter__(self) -> PortForward:
        self._thread.start()
        deadline = time.monotonic() + BEGIN_S
        while not self._up.wait(0.05):
            if self._failed.is_set():
                problem = self.problem
                self.__exit__()
                raise RemoteError(f"kubectl port-forward {self._arguments[1]}: {problem}")
            if time.monotonic() > deadline:
                self.__exit__()
                raise DeadlineError(
                    f"kubectl port-forward {self._arguments[1]} did not begin within {BEGIN_S:g} s."
                )
        return self

    def __exit__(self, *exc: object) -> None:
        self._leaving.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        self._thread.join(2 * PAUSE_S[1])

    def _keep(self) -> None:
        pause_s = PAUSE_S[0]
        while not self._leaving.is_set():
            before = self.begun
            self._run_once()
            if self._leaving.is_set():
                return
            if self.begun == 0:  # it never worked: for the caller to hear
                self._failed.set()
                return
            self.on_change()
            pause_s = PAUSE_S[0] if self.begun > before else min(2 * pause_s, PAUSE_S[1])
            self._leaving.wait(pause_s)

    def _run_once(self) -> None:
        ports = f"{self.port or ''}:{self._there}"
        with ExitStack() as stack:
            try:
                process = stack.enter_context(self._program.start(*self._arguments, ports))
            except (ElastronError, OSError) as error:
                self.problem = str(error)
                return
            self._process = process
            if self._leaving.is_set():  # it was too early to be ended from there
                return
            complaint: list[bytes] = []
            reader = threading.Thread(target=_read, args=(process, complaint), daemon=True)
            reader.start()
            assert process.stdout is not None  # noqa: S101  - `start` gives pipes
            for line in process.stdout:
                if found := _BEGUN.search(line):
                    if self._up.is_set():  # the other address family
                        continue
                    self.port = int(found[1])
                    self.begun += 1
                    self.problem = ""
                    self._up.set()
                    self.on_change()
            self._up.clear()
            process.wait()
            reader.join(PAUSE_S[1])
            said = b"".join(complaint).decode(errors="replace").strip()
            self.problem = said.splitlines()[-1].removeprefix("error: ") if said else "it ended"


def _read(process: subprocess.Popen[bytes], into: list[bytes]) -> None:
    """Read complaints to their end; the last ones are kept."""
    assert process.stderr is not None  # noqa: S101  - `start` gives pipes
    for line in process.stderr:
        into.append(line[:COMPLAINT_CHARS_MAX])
        if b"lost connection to pod" in line:  # old versions stay without a pod behind them
            process.terminate()
        del into[:-20]
