from __future__ import annotations

import os
import subprocess
import sys

from elastron.mrd.header import parse_header
from elastron.node.preload import warmup_header
from elastron.service.numerics import NUMERIC_ENVIRONMENT


def test_the_header_is_one() -> None:
    assert parse_header(warmup_header()).encoding[0].encodedSpace.matrixSize.x == 64


def test_preloading_starts_no_thread_and_complains_of_nothing() -> None:
    """In a process of its own, as the zygote does it."""
    code = (
        "import os; from elastron.node.preload import preload; "
        "from elastron.node.settings import NodeSettings; "
        "preload(NodeSettings()); print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | NUMERIC_ENVIRONMENT,
    )
    said = done.stdout.splitlines()
    assert said[-1] == "1"
    assert not [line for line in said if "warning" in line]
