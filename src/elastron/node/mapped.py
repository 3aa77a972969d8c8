"""Pages of files that sessions use, mapped into a worker before one begins.

A forked process has none of its libraries' pages in its page table: it faults at its first look at
every few of them, and only from then on are they counted as its own, though they are in memory
once for all processes. So the zygote has a child reconstruct something, and what that child had
to map, every worker maps while it is idle.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Read-only mappings of files: first address, and the one beyond the last.
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-.p \S+ \S+ [1-9]", re.MULTILINE)
#: proc(5), /proc/[pid]/pagemap: the page is present and a file's.
_THERE = np.uint64(1 << 63 | 1 << 61)
_ENTRY_BYTES = 8
#: Fewer pages between others are mapped with them; the kernel does as much by itself.
_GAP = 16
_MADV_POPULATE_READ = 22  # Linux 5.14


@dataclass(frozen=True, slots=True)
class Pages:
    """Neighbouring pages.

    Attributes:
        address: of the first.
        length: bytes.
    """

    address: int
    length: int


def pages_of(work: Callable[[], object]) -> list[Pages]:
    """Pages of files that a process forked from this one maps for `work`; a child does it.

    None where the kernel does not tell, or the work fails. This process must have no threads.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):  # whatever it is, a child must not go on from here
            work()
            table = [(each.address, each.length) for each in mapped_pages()]
            with os.fdopen(write, "wb") as report:
                report.write(np.array(table, np.uint64).tobytes())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as report:
        table = np.frombuffer(report.read(), np.uint64).reshape(-1, 2)
    os.waitpid(pid, 0)
    return [Pages(*row) for row in table.tolist()]


def mapped_pages() -> list[Pages]:
    """Pages of files in this process's page table; none where the kernel does not tell."""
    found: list[Pages] = []
    with contextlib.suppress(OSError):
        mappings = Path("/proc/self/maps").read_text()
        with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
            for match in _MAPPING.finditer(mappings):
                start, stop = (int(address, 16) for address in match.groups())
                pagemap.seek(start // mmap.PAGESIZE * _ENTRY_BYTES)
                table = pagemap.read((stop - start) // mmap.PAGESIZE * _ENTRY_BYTES)
                there = np.frombuffer(table, np.uint64) & _THERE == _THERE
                found += _runs(start, np.flatnonzero(there))
    return found


def _runs(start: int, pages: np.ndarray) -> Iterable[Pages]:
    """Runs of pages, which are given by their numbers counted from an address."""
    if len(pages):
        for run in np.split(pages, np.flatnonzero(np.diff(pages) > _GAP) + 1):
            length = int(run[-1] - run[0] + 1) * mmap.PAGESIZE
            yield Pages(start + int(run[0]) * mmap.PAGESIZE, length)


def map_pages(wanted: Iterable[Pages]) -> None:
    """Map pages of files that this process has at the same addresses as who told of them.

    Does nothing where the kernel cannot.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "madvise"):
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for pages in wanted:
            library.madvise(pages.address, pages.length, _MADV_POPULATE_READ)
