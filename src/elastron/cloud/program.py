"""Other people's programs: found, run with limits, and their complaints in our words."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from elastron.errors import ConfigError, DeadlineError, LimitError, RemoteError

#: The output of one call; a large cluster's list of pods has tens of MB.
OUTPUT_BYTES_MAX = 256 * 2**20
#: What is kept of a complaint: enough for what matters, not for a manifest with secrets.
COMPLAINT_CHARS_MAX = 4000
#: A program that is asked to end may tidy up for so long.
END_S = 10.0
_PIECE_BYTES = 2**16
#: Helm tells of every symbolic link in a chart; libraries tell what they are at.
_NOISE = re.compile(
    r"^(?:walk\.go:\d+: |level=[A-Z]+ msg=|[IWE]\d{4} \d\d:\d\d:).*\n?", re.MULTILINE
)


class ProgramError(RemoteError):
    """A program said no.

    Attributes:
        program: its name.
        code: its exit status.
        complaint: what it wrote to stderr, cut.
        output: what it wrote to stdout, cut; no part of the message.
    """

    def __init__(
        self, program: str, what: str, code: int, complaint: str, output: str = ""
    ) -> None:
        self.program, self.code, self.complaint = program, code, complaint
        self.output = output
        said = complaint.removeprefix("Error: ").removeprefix("error: ")
        super().__init__(f"{program} {what}: {said or f'exit status {code}'}")


class Program:
    """A program of this machine.

    Secrets go in by stdin or by files of our own, never as arguments: every user of the machine
    sees those.

    Args:
        name: as it is called.
        hint: how one gets it.
        binary: its path; None: looked for on the PATH.
        always: arguments of every call, put before the others.
    """

    def __init__(
        self, name: str, hint: str, *, binary: str | None = None, always: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self._hint = hint
        self._binary = binary
        self._always = always

    @cached_property
    def path(self) -> str:
        """Where it is.

        Raises:
            ConfigError: nowhere.
        """
        found = shutil.which(self._binary or self.name)
        if found is None:
            where = f"at {self._binary}" if self._binary else "on this machine's PATH"
            raise ConfigError(f"There is no {self.name} {where}. {self._hint}")
        return found

    def command(self, *arguments: str) -> list[str]:
        """The words of a call, the program's path first.

        Raises:
            ConfigError: it is not there.
        """
        return [self.path, *self._always, *arguments]

    def run(
        self,
        *arguments: str,
        stdin: bytes | str | None = None,
        timeout_s: float = 60.0,
        codes: tuple[int, ...] = (0,),
    ) -> str:
        """Run it to its end.

        Args:
            arguments: after those of every call.
            stdin: what it reads.
            timeout_s: it is ended after so long.
            codes: exit statuses that are no failure.

        Returns:
            What it wrote to stdout.

        Raises:
            ProgramError: it failed.
            DeadlineError: it lasted too long.
            LimitError: it wrote too much.
            ConfigError: it is not there.
        """
        given = stdin.encode() if isinstance(stdin, str) else stdin
        with self.start(*arguments, reads=given is not None) as process:
            out, err = _Tail(process.stdout), _Tail(process.stderr)
            feeder = _feed(process, given)
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise DeadlineError(
                    f"{self.name} {_named(arguments)} did not end within {timeout_s:g} s."
                ) from None
            finally:
                _end(process)
                for thread in (out, err, feeder):
                    thread.join(END_S)
        if out.too_much:
            raise LimitError(f"{self.name} {_named(arguments)} wrote more than can be read.")
        if code not in codes:
            complaint = _NOISE.sub("", err.text()).strip()[-COMPLAINT_CHARS_MAX:]
            output = out.text()[-COMPLAINT_CHARS_MAX:]
            raise ProgramError(self.name, _named(arguments), code, complaint, output)
        return out.text()

    @contextmanager
    def start(self, *arguments: str, reads: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """Start it with pipes as stdin, stdout and stderr; it is ended on leaving."""
        process = subprocess.Popen(  # noqa: S603  - a list, no shell
            self.command(*arguments),
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"HELM_DEBUG": "false"},  # it would print values
            # Ctrl-C is for us: we end it in order.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    _close(pipe)


def cluster_arguments(
    kubeconfig: Path | None, context: str | None, *, context_option: str
) -> tuple[str, ...]:
    """What names a cluster to kubectl or helm, each with its own option for a context."""
    words: list[str] = []
    if kubeconfig is not None:
        words += ["--kubeconfig", str(kubeconfig)]
    if context is not None:
        words += [context_option, context]
    return tuple(words)


class _Tail(threading.Thread):
    """Reads a pipe to its end, so that the writer never waits."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._pieces: list[bytes] = []
        self.too_much = False
        self.start()

    def run(self) -> None:
        """Read; beyond the limit read on, but keep nothing."""
        size = 0
        while self._pipe is not None and (piece := self._pipe.read(_PIECE_BYTES)):
            size += len(piece)
            self.too_much = size > OUTPUT_BYTES_MAX
            if not self.too_much:
                self._pieces.append(piece)

    def text(self) -> str:
        """What was written."""
        return b"".join(self._pieces).decode(errors="replace")


def _feed(process: subprocess.Popen[bytes], given: bytes | None) -> threading.Thread:
    def write() -> None:
        if process.stdin is None or given is None:
            return
        try:
            process.stdin.write(given)
        except BrokenPipeError:
            pass  # it has heard enough; its exit status tells
        finally:
            _close(process.stdin)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(pipe: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was left to write has no reader any more
        pipe.close()


def _named(arguments: tuple[str, ...]) -> str:
    """The words of a call before its options: `get manifest`."""
    words: list[str] = []
    for each in arguments:
        if each.startswith("-"):
            break
        words.append(each)
    return " ".join(words[:3])
