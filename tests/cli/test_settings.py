from __future__ import annotations

from pathlib import Path

import pytest

from elastron.cli.settings import ClientSettings, load_settings
from elastron.errors import ConfigError
from elastron.node import NodeSettings


def test_each_source_wins_over_the_one_before(tmp_path, monkeypatch):
    file = tmp_path / "mine.toml"
    file.write_text('[client]\naddress = "file:1"\nconfig = "file.xml"\ntimeout_s = 5\n')
    monkeypatch.setenv("ELASTRON_CLIENT__CONFIG", "env.xml")
    monkeypatch.setenv("ELASTRON_CLIENT__TIMEOUT_S", "6")
    flags = {"timeout_s": 7, "address": None}
    settings = load_settings("client", ClientSettings, file=file, flags=flags)
    assert settings == ClientSettings(address="file:1", config="env.xml", timeout_s=7)


def test_the_default_files_are_found(tmp_path):
    Path("elastron.toml").write_text('[client]\naddress = "toml:1"\n')
    assert load_settings("client", ClientSettings).address == "toml:1"
    Path("elastron.toml").unlink()
    Path("elastron.yaml").write_text("client:\n  address: yaml:1\n")
    assert load_settings("client", ClientSettings).address == "yaml:1"


def test_the_environment_may_name_the_file(tmp_path, monkeypatch):
    (tmp_path / "x.toml").write_text('[client]\naddress = "named:1"\n')
    monkeypatch.setenv("ELASTRON_SETTINGS", str(tmp_path / "x.toml"))
    assert load_settings("client", ClientSettings).address == "named:1"


def test_none_switches_off(monkeypatch):
    monkeypatch.setenv("ELASTRON_NODE__ADMIN", "none")
    assert load_settings("node", NodeSettings).admin is None
    monkeypatch.delenv("ELASTRON_NODE__ADMIN")
    assert load_settings("node", NodeSettings, flags={"admin": "none"}).admin is None


def test_tables_and_lists(monkeypatch):
    Path("elastron.toml").write_text('[node.parameters]\ndump_folder = "/dumps"\n')
    monkeypatch.setenv("ELASTRON_NODE__CONFIG_FOLDERS", '["/a", "/b"]')
    settings = load_settings("node", NodeSettings)
    assert settings.parameters == {"dump_folder": "/dumps"}
    assert settings.config_folders == (Path("/a"), Path("/b"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "[nod]\n", "no section 'nod'; did you mean 'node'"),
        ("a.toml", "[node]\ncapcity = 1\n", "no setting 'capcity'; did you mean 'capacity'"),
        ("a.toml", "[node]\nxyz = 1\n", "no setting 'xyz'; known are admin, cancel_grace_s"),
        ("a.toml", "[node]\ncapacity = 0\n", "node.capacity: Input should be greater"),
        ("a.toml", "[node]\nlisten = 'x'\n", "node.listen: .*'x' is not HOST:PORT"),
        ("a.toml", "node = 1\n", "'node' is a section"),
        ("a.toml", "node = ", "a.toml is not TOML"),
        ("a.yaml", "node: [", "a.yaml is not YAML"),
        ("a.yaml", "- node\n", "holds no sections"),
    ],
)
def test_mistakes_are_named(name, text, message):
    Path(name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings("node", NodeSettings, file=Path(name))


def test_files_that_cannot_be_read():
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings("node", NodeSettings, file=Path("absent.toml"))


def test_unknown_sections_in_the_environment(monkeypatch):
    monkeypatch.setenv("ELASTRON_NDE__CAPACITY", "1")
    with pytest.raises(ConfigError, match=r"ELASTRON_NDE__CAPACITY.*did you mean 'node'"):
        load_settings("node", NodeSettings)


def test_what_kubernetes_sets_is_not_ours(monkeypatch):
    monkeypatch.setenv("ELASTRON_PORT", "tcp://10.0.0.1:9002")
    monkeypatch.setenv("ELASTRON_NODE_SERVICE_HOST", "10.0.0.1")
    assert load_settings("node", NodeSettings).capacity >= 1


def test_values_in_the_environment_that_are_no_json(monkeypatch):
    monkeypatch.setenv("ELASTRON_NODE__PARAMETERS", "x=y")
    with pytest.raises(ConfigError, match="JSON"):
        load_settings("node", NodeSettings)
