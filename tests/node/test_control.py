from __future__ import annotations

import os

import pytest

from elastron.node.control import Channel


def test_lines_and_descriptors() -> None:
    ours, theirs = Channel.pair()
    read, write = os.pipe()
    ours.send({"session": {"id": "a"}}, [write])
    ours.send({"cancel": "x\ny"})
    os.close(write)
    letter = theirs.receive()
    assert letter is not None
    assert letter.body == {"session": {"id": "a"}}
    os.write(letter.fds[0], b"!")
    os.close(letter.fds[0])
    assert os.read(read, 10) == b"!"
    os.close(read)
    second = theirs.receive()
    assert second is not None
    assert (second.body, second.fds) == ({"cancel": "x\ny"}, [])
    ours.close()
    assert theirs.receive() is None
    theirs.close()


def test_a_long_line_comes_whole() -> None:
    ours, theirs = Channel.pair()
    text = "x" * 100_000
    ours.send({"text": text})
    letter = theirs.receive()
    assert letter is not None
    assert letter.body["text"] == text
    ours.close()
    theirs.close()


def test_nothing_there_yet() -> None:
    ours, theirs = Channel.pair()
    theirs.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.receive()
    ours.close()
    theirs.close()


def test_sending_to_nobody() -> None:
    ours, theirs = Channel.pair()
    theirs.close()
    with pytest.raises(OSError, match="pipe"):
        ours.send({"a": 1})
    ours.close()
