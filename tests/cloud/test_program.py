"""Running other people's programs: found, limited, heard."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from elastron.cloud import program as program_module
from elastron.cloud.program import COMPLAINT_CHARS_MAX, Program, ProgramError
from elastron.errors import ConfigError, DeadlineError, LimitError


def script(folder: Path, text: str) -> Program:
    path = folder / "tool"
    path.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{text}\n")
    path.chmod(0o755)
    return Program("tool", "Get it.", binary=str(path), always=("--always", "x"))


def test_what_it_says_and_what_it_is_told(tmp_path):
    tool = script(tmp_path, "print(sys.argv[1:], sys.stdin.read())")
    assert tool.run("a", "b", stdin="words") == "['--always', 'x', 'a', 'b'] words\n"
    assert tool.run() == "['--always', 'x'] \n"


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"no tool at .*Get it\."):
        Program("tool", "Get it.", binary=str(tmp_path / "absent")).run()
    with pytest.raises(ConfigError, match="PATH"):
        Program("no-such-program-here", "Get it.").run()


def test_its_complaint_is_told_without_asides(tmp_path):
    said = "walk.go:75: a link\\nI0101 10:00:00.000 1 x.go:1] an aside\\nError: it is bad\\n"
    tool = script(tmp_path, f"print('out'); sys.stderr.write('{said}'); sys.exit(3)")
    with pytest.raises(ProgramError) as caught:
        tool.run("do", "this", "--not-told", "secret")
    assert str(caught.value) == "tool do this: it is bad"
    assert (caught.value.code, caught.value.output) == (3, "out\n")


def test_a_long_complaint_is_cut(tmp_path):
    tool = script(tmp_path, "sys.stderr.write('x' * 100_000); sys.exit(1)")
    with pytest.raises(ProgramError) as caught:
        tool.run()
    assert len(caught.value.complaint) == COMPLAINT_CHARS_MAX


def test_one_that_does_not_end_is_ended(tmp_path, monkeypatch):
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            started.append(self)

    monkeypatch.setattr(program_module.subprocess, "Popen", Watched)
    tool = script(tmp_path, "time.sleep(600)")
    with pytest.raises(DeadlineError, match="tool wait"):
        tool.run("wait", timeout_s=1)
    (process,) = started
    assert process.returncode is not None
    assert not Path(f"/proc/{process.pid}").exists()


def test_one_that_is_deaf_to_the_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(program_module, "END_S", 0.2)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    tool = script(tmp_path, f"{ignore}; print('x', flush=True); time.sleep(600)")
    with tool.start() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
    assert process.returncode == -9


def test_output_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(program_module, "OUTPUT_BYTES_MAX", 1000)
    with pytest.raises(LimitError):
        script(tmp_path, "print('x' * 200_000)").run()


def test_one_that_hears_nothing_of_much_input(tmp_path):
    tool = script(tmp_path, "print('no need')")
    assert tool.run(stdin="x" * 10_000_000) == "no need\n"


def test_much_input_and_output_at_once(tmp_path):
    tool = script(tmp_path, "sys.stdout.write(sys.stdin.read())")
    text = "0123456789" * 200_000
    assert tool.run(stdin=text) == text


def test_calls_may_run_at_once(tmp_path):
    tool = script(tmp_path, "time.sleep(float(sys.argv[3])); print(sys.argv[3])")
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda s=s: said.append(tool.run(s))) for s in ("0.1", "0.2")
    ]
    began = time.monotonic()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(said) == ["0.1\n", "0.2\n"]
    assert time.monotonic() - began < 120
