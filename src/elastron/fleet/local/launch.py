"""Starting processes of the fleet: each anew, or forked from a warm one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from elastron.fleet.local.folder import StateFolder

#: The nursery ends by itself when we hang up; this is for one that does not.
_NURSERY_STOP_S = 5.0
#: One that dies sooner is started again only when a node is wanted.
_NURSERY_STEADY_S = 5.0


class Launcher(Protocol):
    """Starts processes whose orders are written."""

    def launch(self, name: str) -> None:
        """Start process `name`; returns at once."""

    def lost(self, name: str) -> bool:
        """Whether `name` was launched and, if it is not on record by now, will never be."""
        ...

    def tend(self) -> None:
        """Look after what launches need, so that the next one is quick."""

    def close(self) -> None:
        """Give up what is no longer needed; what was started goes on."""


class ProgramLauncher:
    """Runs a program with the state folder and the name as its last arguments.

    Args:
        folder: of the fleet.
        command: the program and its first arguments.
        environment: of the processes.
    """

    def __init__(
        self, folder: StateFolder, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._command = list(command)
        self._environment = dict(environment)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def launch(self, name: str) -> None:
        """Start process `name` in a session of its own, its words going to its log."""
        with self._folder.log_path(name).open("ab") as log:
            self._children[name] = subprocess.Popen(  # noqa: S603 - our own command
                [*self._command, str(self._folder.path), name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us: they end in order
            )

    def lost(self, name: str) -> bool:
        """Whether the process has ended."""
        self._reap()
        return name not in self._children

    def tend(self) -> None:
        """Reap what has ended."""
        self._reap()

    def close(self) -> None:
        """Reap what has ended; the others have no need of us."""
        self._reap()

    def _reap(self) -> None:
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[name]


class Nursery:
    """Forks nodes from a process that has everything imported, in a tenth of a second.

    Its order is written between `warm`, which starts it, and the first `launch`: imports take
    longer than it takes to find out what nodes are to be.

    Args:
        folder: of the fleet.
        command: the program that is forked from; it reads names, one a line.
        environment: of it and of what is forked.
    """

    def __init__(
        self, folder: StateFolder, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False
        self._started = 0.0
        self._asked: dict[str, subprocess.Popen[bytes]] = {}

    def warm(self) -> None:
        """Start it, unless it runs; it imports what needs no order."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            structlog.get_logger().error(
                "the process that nodes are forked from died; starting another",
                log=str(self._folder.log_path("nursery")),
            )
            self._hang_up()
        self._started = time.monotonic()
        with self._folder.log_path("nursery").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*self._command, str(self._folder.path)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def ready(self) -> None:
        """Its order is written: it may read configs, and run a first reconstruction."""
        self.warm()
        if not self._told:
            self._told = True
            self._tell("")

    def launch(self, name: str) -> None:
        """Have process `name` forked; it waits until the nursery is warm."""
        self.ready()
        assert self._process is not None  # noqa: S101 - it is warm
        self._asked = {each: by for each, by in self._asked.items() if by.poll() is None}
        self._asked[name] = self._process
        self._tell(name)

    def _tell(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101 PT018
        with contextlib.suppress(BrokenPipeError):  # `lost` tells
            os.write(self._process.stdin.fileno(), line.encode() + b"\n")

    def lost(self, name: str) -> bool:
        """Whether the nursery that was asked has died."""
        nursery = self._asked.get(name)
        return nursery is None or nursery.poll() is not None

    def tend(self) -> None:
        """Start another one if it has died, unless it did so right after its start."""
        died = self._process is not None and self._process.poll() is not None
        if died and time.monotonic() - self._started > _NURSERY_STEADY_S:
            self.ready()

    def close(self) -> None:
        """End it; what it has forked goes on."""
        if self._process is None:
            return
        process = self._process
        self._hang_up()
        try:
            process.wait(_NURSERY_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _hang_up(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process, self._told = None, False
