from __future__ import annotations

import os

import pytest

from elastron.node.scoreboard import Scoreboard, SessionState


def test_what_one_end_writes_the_other_reads() -> None:
    board = Scoreboard()
    assert (board.state, board.bytes_in, board.config_name) == (SessionState.WAITING, 0, "")
    theirs = Scoreboard(os.dup(board.fd))  # as a worker gets it
    theirs.state = SessionState.STREAM
    theirs.bytes_in += 5_000_000_000
    theirs.writing = 1
    theirs.config_name = "Köln.xml"
    theirs.close()
    assert board.state is SessionState.STREAM
    assert board.bytes_in == 5_000_000_000
    assert board.writing == 1
    assert board.images == 0
    assert board.config_name == "Köln.xml"
    board.close()


@pytest.mark.parametrize("name", ["x" * 1000, "ü" * 200, "\ud800"])
def test_any_name_fits(name: str) -> None:
    board = Scoreboard()
    board.config_name = name
    assert len(board.config_name.encode()) <= 260
    board.close()
