from __future__ import annotations

import os
import socket
import subprocess
import sys

import structlog

from elastron.mrd.header import parse_header
from elastron.mrd.image import Image
from elastron.node.preload import rehearsal, warmup_header
from elastron.node.scoreboard import Scoreboard
from elastron.node.session import Session
from elastron.node.settings import NodeSettings
from elastron.service.numerics import NUMERIC_ENVIRONMENT
from elastron.wire import Decoder
from elastron.wire.messages import Close


def test_the_header_is_one() -> None:
    assert parse_header(warmup_header()).encoding[0].encodedSpace.matrixSize.x == 64


def test_the_rehearsal_is_a_scan_that_succeeds() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(rehearsal())  # all of it, while nobody reads
    board = Scoreboard()
    session = Session(
        theirs, NodeSettings(), board, threads=1, status={}, log=structlog.get_logger()
    )
    assert session.run() == {"outcome": "ok"}
    board.close()
    decoder = Decoder()
    while received := ours.recv(65536):
        decoder.feed(received)
    ours.close()
    assert [type(message) for message in decoder.messages()] == [Image, Close]


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
