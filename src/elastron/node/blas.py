"""Threads of the BLAS libraries that numpy and scipy bring along."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

# numpy and scipy wheels each carry an OpenBLAS of their own, with these prefixes and suffixes;
# distributions' packages use the plain name.
_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)

#: Environment of the zygote: no threads when the libraries are loaded; and threads that have
#: nothing to do sleep after 2^12 cycles, not 2^26, in which they would keep a core from others.
ZYGOTE_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_THREAD_TIMEOUT": "12",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@cache
def _setters() -> tuple[Callable[[int], None], ...]:
    setters: list[Callable[[int], None]] = []
    with contextlib.suppress(OSError):  # no /proc: leave the threads as they are
        lines = Path("/proc/self/maps").read_text().splitlines()
        paths = {line.split(maxsplit=5)[5] for line in lines if "openblas" in line}
        for path in sorted(paths):
            library = ctypes.CDLL(path)
            setters.extend(getattr(library, name) for name in _SETTERS if hasattr(library, name))
    return tuple(setters)


def find_blas() -> int:
    """Find the loaded libraries once; returns how many there are."""
    return len(_setters())


def set_blas_threads(threads: int) -> None:
    """Let each loaded OpenBLAS use up to `threads` threads from now on."""
    for setter in _setters():
        setter(threads)
