"""`python -m tests.chaos`: 1,000 scans of 8 clients while 4 nodes are hurt at random."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from .storm import storm


def main() -> int:
    """Run a storm and print its figures; 1 if a client did not get everything exactly once."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--scans", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--fault-every", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=None, help="of the plan; default: a new one")
    parser.add_argument("--logs", type=Path, default=None, help="keep logs in this folder")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="elastron-chaos-") as scratch:
        report = asyncio.run(
            storm(
                arguments.logs or Path(scratch),
                seed=seed,
                scans=arguments.scans,
                clients=arguments.clients,
                nodes=arguments.nodes,
                fault_every_s=arguments.fault_every,
            )
        )
    print("\n".join(report.lines()))
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
