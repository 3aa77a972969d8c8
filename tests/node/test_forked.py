from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.node.harness import check_good_scan, wait_for

NODE = """
import asyncio
from elastron.node import Node, NodeSettings
from elastron.node.forked import fork_zygote
from elastron.node.preload import preload
from elastron.service.logs import configure_logging
from elastron.service.signals import run_until_signal

async def serve(settings, zygote):
    async with Node(settings, zygote) as node:
        await run_until_signal(node.drain, lambda: print(node.port, zygote.pid, flush=True))

settings = NodeSettings(listen="127.0.0.1:0", admin=None, log_level="error", warm_workers=1)
configure_logging(settings.log_format, settings.log_level)
preload(settings)
asyncio.run(serve(settings, fork_zygote()))
"""


@pytest.fixture
def forked_node():
    """A node whose zygote was forked: its process, its port, its zygote's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", NODE],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parent,
    )
    assert process.stdout is not None
    port, zygote = map(int, process.stdout.readline().split())
    yield process, port, zygote
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_node_works_with_a_forked_zygote(forked_node):
    process, port, zygote = forked_node
    check_good_scan(port)
    workers = wait_for(psutil.Process(zygote).children, what="the next worker")
    assert os.getsid(zygote) == zygote  # a terminal's Ctrl-C is not for it
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    for each in (zygote, *(worker.pid for worker in workers)):
        wait_for(lambda pid=each: not psutil.pid_exists(pid), what=f"the end of {each}")


def test_a_forked_zygote_that_dies_is_replaced(forked_node):
    _, port, zygote = forked_node
    os.kill(zygote, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(zygote), what="the zygote's end")
    check_good_scan(port)


def test_a_forked_zygote_ends_with_its_node(forked_node):
    process, _, zygote = forked_node
    process.kill()
    process.wait()
    wait_for(lambda: not psutil.pid_exists(zygote), what="the zygote's end")
