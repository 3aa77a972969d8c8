"""`make bench`, or `python -m benchmarks [NAME ...]`: run all benchmarks, or some."""

from __future__ import annotations

import importlib
import os
import platform
import sys

# As in the node: the floors' small products are faster without BLAS threads of their own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy
import scipy

NAMES = (
    *("decoder", "floor", "chains", "node", "storage"),
    *("gateway", "tls", "access", "placement", "distributed", "fleet", "simulator"),
)


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    names = sys.argv[1:] or NAMES
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    print(
        f"Python {platform.python_version()}, numpy {numpy.__version__}, "
        f"scipy {scipy.__version__}, {len(os.sched_getaffinity(0))} cores, {platform.machine()}"
    )
    for name in names:
        print(f"\n== {name} ==", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
