from __future__ import annotations

import os

from elastron.fleet.local.logs import LogReader, last_lines, limit_log, remove_old_logs


def test_a_log_is_moved_away_while_somebody_writes(tmp_path):
    path = tmp_path / "node-1.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"one\n" * 10)
        assert not limit_log(path, 100)
        writer.write(b"two\n" * 20)
        assert limit_log(path, 100)
        writer.write(b"three\n")
    assert path.read_text() == "three\n"
    assert (tmp_path / "node-1.log.1").read_text() == "one\n" * 10 + "two\n" * 20
    assert not limit_log(tmp_path / "missing", 1)


def test_a_reader_gets_every_whole_line_once(tmp_path):
    path = tmp_path / "a.log"
    reader = LogReader(path)
    assert reader.lines() == []
    path.write_bytes(b"one\ntw")
    assert reader.lines() == ["one"]
    with path.open("ab") as file:
        file.write(b"o\n\xff\n")
    assert reader.lines() == ["two", "\ufffd"]
    limit_log(path, 1)
    with path.open("ab") as file:
        file.write(b"new\n")
    assert reader.lines() == ["new"]
    assert LogReader(path, at_end=True).lines() == []


def test_last_lines_reach_back_over_a_move(tmp_path):
    path = tmp_path / "a.log"
    assert last_lines(path, 5) == []
    path.write_text("one\ntwo\n")
    limit_log(path, 1)
    with path.open("a") as file:
        file.write("three\n")
    assert last_lines(path, 2) == ["two", "three"]
    assert last_lines(path, 9) == ["one", "two", "three"]
    assert last_lines(path, 0) == []


def test_only_logs_of_nodes_long_gone_are_removed(folder):
    for number in range(6):
        path = folder.log_path(f"node-{number}")
        path.write_text("x\n")
        path.with_name(path.name + ".1").write_text("x\n")
        os.utime(path, (number, number))
    remove_old_logs(folder, ["node-0"], count=2)
    left = sorted(path.name for path in (folder.path / "logs").iterdir())
    assert left == [
        *("node-0.log", "node-0.log.1", "node-4.log", "node-4.log.1"),
        *("node-5.log", "node-5.log.1"),
    ]
