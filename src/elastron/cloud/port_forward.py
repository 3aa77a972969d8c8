"""A port of this machine that leads to pods of a cluster, whichever of them are there.

`kubectl port-forward` is bound to one pod: it ends with it, notices that only when somebody
connects, and knows nothing of a pod that is leaving and takes no more scans. So we listen
ourselves, lead each connection to a pod that is ready, and turn to another one as soon as that pod
leaves; connections that run stay with it to their end.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from elastron.cloud.program import COMPLAINT_CHARS_MAX, Program
from elastron.errors import DeadlineError, ElastronError, RemoteError

#: For a way to a pod to begin.
BEGIN_S = 30.0
#: A connection waits so long for a pod.
WAIT_S = 60.0
#: Between tries to begin anew: from, to.
PAUSE_S = (0.2, 5.0)
#: What ends a process gently has so long.
END_S = 5.0
_PIECE_BYTES = 256 * 1024
_BEGUN = re.compile(rb"Forwarding from [0-9.]+:(\d+) -> ")
_LEAVING = ["-o", 'jsonpath={.metadata.deletionTimestamp}{"\\n"}', "--watch"]


@dataclass(frozen=True, slots=True)
class Target:
    """A pod and a port of it (number or name), and the words that tell kubectl its namespace."""

    pod: str
    port: str
    where: tuple[str, ...] = ()


@dataclass(eq=False)
class _Line:
    """One `kubectl port-forward`."""

    target: Target
    process: asyncio.subprocess.Process
    port: int
    reader: asyncio.Task[str]
    connections: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class PortForward:
    """The port here, as long as the context lasts.

    Args:
        program: kubectl.
        choose: a pod that is ready; raises RemoteError while there is none.
        local_port: here; 0: a free one.
        host: address of this machine.

    Attributes:
        port: here.
        begun: how often a way to a pod has begun.
        problem: why there is none at the moment; empty: there is one.
        on_change: called, from another thread, when that changes.
    """

    def __init__(
        self,
        program: Program,
        choose: Callable[[], Target],
        *,
        local_port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self._program = program
        self._choose = choose
        self.port = local_port
        self.host = host
        self.begun = 0
        self.problem = "not begun yet"
        self.on_change: Callable[[], None] = lambda: None
        self._up = threading.Event()
        self._first = threading.Event()
        self._failed: Exception | None = None
        self._line: _Line | None = None
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = asyncio.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self) -> str:
        """HOST:PORT here."""
        return f"{self.host}:{self.port}"

    def wait_up(self, timeout_s: float) -> bool:
        """Wait until there is a way to a pod; whether there is."""
        return self._up.wait(timeout_s)

    def __enter__(self) -> PortForward:
        self._thread.start()
        self._first.wait(2 * BEGIN_S)
        if self._failed is not None or not self._up.is_set():
            problem = self._failed or DeadlineError(f"No way to a pod within {BEGIN_S:g} s.")
            self.__exit__()
            raise problem
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._main is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(4 * END_S)

    # --- in the other thread --------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._serve_all())

    async def _serve_all(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        try:
            # Not the coroutine itself: its tasks are ours to keep and to end.
            server = await asyncio.start_server(
                lambda reader, writer: self._spawn(self._connected(reader, writer)),
                self.host,
                self.port,
            )
        except OSError as error:
            self._fail(RemoteError(f"{self.address} cannot be listened on: {error.strerror}"))
            return
        self.port = server.sockets[0].getsockname()[1]
        try:
            await self._keep()
        finally:
            server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for line in list(self._lines):
                await self._end(line)

    def _fail(self, error: Exception) -> None:
        self._failed = error
        self._first.set()

    async def _keep(self) -> None:
        """Have a way to a pod, always; returns only if there never was one."""
        pause_s = PAUSE_S[0]
        while True:
            try:
                line = await self._begin(await asyncio.to_thread(self._choose))
            except (ElastronError, OSError) as error:
                if self.begun == 0:
                    self._fail(error)
                    return
                self.problem = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S[1])
                continue
            pause_s = PAUSE_S[0]
            await self._turn(line, "")
            why = await self._over(line)
            await self._turn(None, why)
            self._spawn(self._retire(line))

    async def _turn(self, line: _Line | None, problem: str) -> None:
        self.problem = problem
        if line is None:
            self._up.clear()
        else:
            self.begun += 1
            self._up.set()
        async with self._change:
            self._line = line
            self._change.notify_all()
        self.on_change()
        # At last: whoever sets `on_change` once there is a way is not told of that very one.
        self._first.set()

    async def _begin(self, target: Target) -> _Line:
        process = await self._start(
            *("port-forward", f"pod/{target.pod}", f":{target.port}"),
            *("--address", "127.0.0.1", *target.where),
        )
        assert process.stdout is not None  # noqa: S101  - a pipe
        reader = asyncio.create_task(_complaint(process))
        port = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_S):
                while not port and (line := await process.stdout.readline()):
                    if found := _BEGUN.search(line):
                        port = int(found[1])
        line = _Line(target, process, port, reader)
        self._lines.add(line)
        if not port:
            await self._end(line)
            said = await reader
            raise RemoteError(f"kubectl port-forward to pod {target.pod}: {said or 'no answer'}")
        self._spawn(_drained(process.stdout))
        return line

    async def _over(self, line: _Line) -> str:
        """Wait until new connections must go elsewhere; says why."""
        died = asyncio.create_task(line.process.wait())
        leaves = asyncio.create_task(self._leaves(line.target))
        await asyncio.wait((died, leaves), return_when=asyncio.FIRST_COMPLETED)
        leaves.cancel()
        if not died.done():
            died.cancel()
            return f"pod {line.target.pod} leaves"
        return await line.reader or f"the way to pod {line.target.pod} ended"

    async def _leaves(self, target: Target) -> None:
        """Return when the pod is asked to leave, or is gone."""
        while True:
            watch = await self._start("get", "pod", target.pod, *_LEAVING, *target.where)
            assert watch.stdout is not None  # noqa: S101  - a pipe
            complaint = asyncio.create_task(_complaint(watch))
            try:
                async for line in watch.stdout:
                    if line.strip():
                        return
                if "NotFound" in await complaint:
                    return
            finally:
                complaint.cancel()
                await _ended(watch)
            await asyncio.sleep(PAUSE_S[1])  # a watch ends now and then by itself

    async def _retire(self, line: _Line) -> None:
        """Let what runs through it run to its end."""
        while line.connections and line.process.returncode is None:
            line.idle.clear()
            await line.idle.wait()
        await self._end(line)

    async def _end(self, line: _Line) -> None:
        await _ended(line.process)
        self._lines.discard(line)

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *self._program.command(*arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,  # Ctrl-C is for us
        )

    def _spawn(self, doing: Awaitable[None]) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- connections ----------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                async with asyncio.timeout(WAIT_S), self._change:
                    await self._change.wait_for(lambda: self._line is not None)
                    line = self._line
            except TimeoutError:
                return  # nobody there: the peer sees the end
            assert line is not None  # noqa: S101  - waited for
            line.connections += 1
            try:
                await _joined(reader, writer, line.port)
            finally:
                line.connections -= 1
                line.idle.set()


async def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass bytes both ways until both ends have said all."""
    try:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    out = asyncio.create_task(_pump(reader, there_writer))
    try:
        await _pump(there_reader, writer)
        # The other side has said all; whoever still talks to it would talk to nobody.
    finally:
        out.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await out
        there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _drained(stream: asyncio.StreamReader) -> None:
    """Read and forget, so that the writer never waits."""
    while await stream.read(_PIECE_BYTES):
        pass


async def _complaint(process: asyncio.subprocess.Process) -> str:
    """The last line of what it says to stderr, at its end; ends it where it hangs on."""
    assert process.stderr is not None  # noqa: S101  - a pipe
    last = b""
    async for line in process.stderr:
        if line.strip():
            last = line[:COMPLAINT_CHARS_MAX]
        if b"lost connection to pod" in line and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()  # old versions stay without a pod behind them
    return last.decode(errors="replace").strip().removeprefix("error: ")


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
