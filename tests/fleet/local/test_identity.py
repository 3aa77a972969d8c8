from __future__ import annotations

import os
import signal
import subprocess
import sys

from elastron.fleet.local.identity import Identity
from tests.patience import wait_for

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_a_process_is_known_while_it_lives():
    process = subprocess.Popen(SLEEPER)
    identity = Identity.of(process.pid)
    assert identity is not None
    assert identity.alive
    assert identity == Identity.of(process.pid)
    assert identity.signal(signal.SIGKILL)
    wait_for(lambda: not identity.alive, what="its end")  # a zombie is not alive
    assert Identity.of(process.pid) is None
    process.wait()
    assert not identity.signal(signal.SIGKILL)


def test_an_id_that_another_process_has_now_is_left_alone():
    process = subprocess.Popen(SLEEPER)
    now = Identity.of(process.pid)
    assert now is not None
    before = Identity(process.pid, now.started[:-1] + "x")
    assert not before.alive
    assert not before.signal(signal.SIGKILL)
    assert process.poll() is None
    process.kill()
    process.wait()


def test_odd_ids():
    assert not Identity(0, "").alive
    assert not Identity(-1, "").signal(signal.SIGTERM)
    assert Identity.own().alive
    assert Identity.own() == Identity.of(os.getpid())


def test_a_name_with_spaces_and_parentheses_confuses_nobody(tmp_path):
    program = tmp_path / "a) S (b c"
    program.symlink_to(os.path.realpath("/bin/sleep"))
    process = subprocess.Popen([program, "600"])
    identity = Identity.of(process.pid)
    assert identity is not None
    assert identity.started.rpartition(" ")[2].isdecimal()
    process.kill()
    process.wait()
