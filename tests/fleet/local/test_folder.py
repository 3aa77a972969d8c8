from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest

from elastron.errors import ConfigError
from elastron.fleet.local.charge import in_charge
from elastron.fleet.local.folder import Order, Record, Role, StateFolder, checked_name, digest
from elastron.fleet.local.identity import Identity
from elastron.fleet.local.state import count_nodes, find_running, state_path
from elastron.fleet.local.wishes import read_pins, read_pools, write_pins, write_pools

ORDER = Order("node-1", Role.NODE, pool="gpu", settings={"capacity": 2}, lease_s=5, digest="x")


def test_what_is_written_is_read(folder):
    folder.write_order(ORDER)
    assert folder.order("node-1") == ORDER
    record = folder.sign_in("node-1", Role.NODE)
    assert folder.record("node-1") == record
    assert record.identity == Identity.own()
    assert not record.ready
    folder.sign_off("node-1")
    again = folder.record("node-1")
    assert again is not None
    assert again.ended
    folder.mark_leaving("node-1")
    assert folder.leaving("node-1")
    folder.forget("node-1")
    assert folder.order("node-1") is folder.record("node-1") is None
    assert not folder.leaving("node-1")
    assert folder.names() == []


def test_only_this_user_may_look_into_it(folder):
    folder.write_order(ORDER)
    folder.sign_in("node-1", Role.NODE)
    for path in (folder.path, *folder.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    folder.path.chmod(0o755)
    StateFolder(folder.path)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_another_users_folder_is_refused(tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root to give a folder away")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, -1)
    with pytest.raises(ConfigError, match="another user"):
        StateFolder(tmp_path / "theirs")


def test_a_file_in_the_way_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        StateFolder(tmp_path / "file")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", "-a", "a.b", "a" * 64, "a\n"])
def test_names_stay_in_their_folder(folder, name):
    with pytest.raises(ConfigError):
        checked_name(name)
    with pytest.raises(ConfigError):
        folder.log_path(name)
    with pytest.raises(ConfigError):
        folder.mark_leaving(name)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"role": "odd"}', '{"identity": 3}'])
def test_files_of_another_version_count_as_missing(folder, content):
    folder.write_order(ORDER)
    folder.sign_in("node-1", Role.NODE)
    for path in (folder.path / "processes").glob("*.json"):
        path.write_text(content)
    assert folder.order("node-1") is None
    assert folder.record("node-1") is None
    assert list(folder.records()) == []


def test_numbers_are_never_used_again_and_sort_as_such(folder):
    names = [folder.next_node_name() for _ in range(11)]
    assert len(set(names)) == 11
    for name in names:
        folder.write_order(replace(ORDER, name=name))
    assert folder.names() == names
    for name in names:
        folder.forget(name)
    assert StateFolder(folder.path).next_node_name() == "node-12"


def test_digests_tell_settings_apart():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_pins(folder):
    assert read_pins(folder) == {}
    write_pins(folder, {"default": 3})
    assert read_pins(folder) == {"default": 3}
    folder.write(folder.scale_file, {"a": -1, "b": True, "c": "4", "d": 10**9, "e": 2})
    assert read_pins(folder) == {"e": 2}
    folder.write(folder.scale_file, [1])
    assert read_pins(folder) == {}
    assert read_pools(folder) == []
    write_pools(folder, {"gpu": 1, "default": 2})
    assert read_pools(folder) == ["default", "gpu"]


def test_where_a_fleet_keeps_its_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_path() == tmp_path / "elastron" / "default"
    assert state_path("other") == tmp_path / "elastron" / "other"
    assert state_path("x", tmp_path / "here") == tmp_path / "here"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_path() == tmp_path / ".local/state/elastron/default"
    with pytest.raises(ConfigError):
        state_path("../other")


def test_what_runs_is_found(folder):
    assert find_running(state=folder.path.parent / "nothing") is None
    assert not (folder.path.parent / "nothing").exists()
    assert find_running(state=folder.path) is None
    dead = Identity(os.getpid(), "long ago")
    folder.write_record(Record("gateway", Role.GATEWAY, dead, 0, address="127.0.0.1:1"))
    assert find_running(state=folder.path) is None
    record = folder.sign_in("gateway", Role.GATEWAY)
    running = find_running(state=folder.path)
    assert running is not None
    assert running.supervisor is None
    assert (running.scans, running.admin, running.storage) == (None, None, None)
    folder.write_record(replace(record, address="127.0.0.1:1", admin="127.0.0.1:2"))
    supervisor = folder.sign_in("up", Role.UP)
    folder.write_record(replace(supervisor, admin="127.0.0.1:3"))
    running = find_running(state=folder.path)
    assert running is not None
    assert running.supervisor is not None
    assert running.autoscaler == "http://127.0.0.1:3"
    assert running.scans == "127.0.0.1:1"
    assert running.admin == "http://127.0.0.1:2"
    assert set(running.processes) == {"gateway"}


def test_nodes_of_a_pool_are_counted(folder):
    folder.write_order(ORDER)
    record = folder.sign_in("node-1", Role.NODE)
    assert count_nodes(folder, "gpu") == 0  # not ready yet
    folder.write_record(replace(record, address="127.0.0.1:1"))
    assert count_nodes(folder, "gpu") == 1
    assert count_nodes(folder, "default") == 0
    folder.mark_leaving("node-1")
    assert count_nodes(folder, "gpu") == 0


def test_one_process_is_in_charge_at_a_time(folder):
    with in_charge(folder, "mine") as record:
        assert folder.record("up") == record
        words = rf"'mine' is up already \(process {os.getpid()}\)"
        with pytest.raises(ConfigError, match=words), in_charge(folder, "mine"):
            pass
        assert folder.record("up") == record
    assert folder.record("up") is None
    with in_charge(folder, "mine"):
        pass
