"""A chain that was built: gadgets in a row, ready to be called once.

Gadgets pull: each is an iterator over the one before it, and whoever iterates over the chain does
the work. So a slow gadget slows the sender by itself, and nothing waits in between. Who has two
threads gives one of them the chain's head, which works on the data as they come.

A failing gadget is named: in a row of nested iterators an exception passes through every gadget
after the one that raised it, so each gadget's input remembers what it raised.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from elastron.errors import ElastronError, ReconstructionError
from elastron.gadgets.base import Item
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.buffers import Bucket, ImageArray, ReconData
from elastron.mrd.image import Image
from elastron.mrd.waveform import Waveform
from elastron.wire.messages import MessageId

#: Longest reason of a foreign exception that is passed on.
_MAX_REASON = 500

#: What an empty chain swallows; text and queries pass.
_DATA = (AcquisitionBatch, Waveform, Image, ReconData, ImageArray, Bucket)


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a chain.

    Attributes:
        abort: wakes whoever waits for the chain's input, because nobody wants it any more.
    """

    abort: Callable[[], None] = lambda: None


#: One node of a chain: its input, and the call it belongs to -> its output.
Step = Callable[[Iterable[Item], Run], Iterator[Item]]


@dataclass(frozen=True, slots=True)
class Chain:
    """A config's gadgets, built for one scan.

    Attributes:
        config_name: for messages.
        readable: messages the config's readers take.
        writable: messages the config's writers send; others are not for the client.
        steps: in order.
        streaming: how many of the first steps pass on at once what they make of an item.
        warnings: what is odd about the config but does not stop it, for people.
    """

    config_name: str
    readable: frozenset[MessageId]
    writable: frozenset[MessageId]
    steps: tuple[Step, ...] = ()
    streaming: int = 0
    warnings: tuple[str, ...] = field(default=())

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Work on a scan; call once.

        Args:
            items: the scan's data. If waiting for them can take long (a connection), give an
                `ItemQueue` or another iterable with `abort()`: it is called when the chain has
                ended, and its input not perhaps.

        Raises:
            ReconstructionError: a gadget failed; it says which and why.
            Exception: what iterating over `items` raised.
        """
        return self._run(self.steps, items)

    def head(self, items: Iterable[Item]) -> Iterator[Item]:
        """The streaming steps alone; their output is for `tail`, which another thread may run.

        Raises:
            ReconstructionError, Exception: as the whole chain.
        """
        return run_steps(self.steps[: self.streaming], items, Run())

    def tail(self, items: Iterable[Item]) -> Iterator[Item]:
        """The steps after the streaming ones; all as for the whole chain."""
        return self._run(self.steps[self.streaming :], items)

    def _run(self, steps: tuple[Step, ...], items: Iterable[Item]) -> Iterator[Item]:
        run = Run(getattr(items, "abort", lambda: None))
        output = run_steps(steps, items, run)
        if not self.steps:
            output = (item for item in output if not isinstance(item, _DATA))
        try:
            yield from output
        finally:
            run.abort()


def run_steps(steps: Iterable[Step], items: Iterable[Item], run: Run) -> Iterator[Item]:
    """Put steps in a row."""
    output = iter(items)
    for step in steps:
        output = step(output, run)
    return output


class _Watched:
    """An iterator that remembers the exception it raised."""

    __slots__ = ("_next", "error")

    def __init__(self, items: Iterable[Item]) -> None:
        self._next = iter(items).__next__
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        try:
            return self._next()
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


@dataclass(frozen=True, slots=True)
class Named:
    """Where a gadget stands, for messages.

    Attributes:
        label: its name in the config.
        classname: the Gadgetron's.
        path: of the streams it is in, e.g. `main`.
        config_name: the config's.
    """

    label: str
    classname: str
    path: str
    config_name: str

    def failure(self, error: Exception) -> ReconstructionError:
        """`error`, raised in this gadget, for the client and the log."""
        if isinstance(error, ElastronError):
            reason = str(error)
        else:
            text = str(error)
            text = text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "..."
            reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return ReconstructionError(
            f"[Connection Main Thread/{self.path}/{self.label}] ERROR: {reason} "
            f"(gadget {self.classname}, config {self.config_name})",
            gadget=self.label,
        )


def attributed(
    named: Named, call: Callable[[Iterable[Item]], Iterator[Item]], items: Iterable[Item]
) -> Iterator[Item]:
    """`call(items)`; what it raises itself names the gadget, what its input raised passes by."""
    source = _Watched(items)
    try:
        yield from call(source)
    except Exception as error:
        if source.error is not None:
            raise source.error from source.error.__cause__
        raise named.failure(error) from error
    finally:
        close_generator(items)


@dataclass(frozen=True, slots=True)
class GadgetStep:
    """One gadget as a step of a chain."""

    named: Named
    gadget: Callable[[Iterable[Item]], Iterator[Item]]

    def __call__(self, items: Iterable[Item], run: Run) -> Iterator[Item]:
        """Run the gadget over `items`."""
        return attributed(self.named, self.gadget, items)


def close_generator(items: Iterable[Item]) -> None:
    """End a generator that nobody reads any more, with all that it reads from."""
    if isinstance(items, Generator):
        items.close()
