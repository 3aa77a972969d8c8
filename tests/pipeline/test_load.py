"""Configs by name: folders first, stock ones after, nothing outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elastron.errors import ConfigError
from elastron.pipeline import config_names, load_config
from elastron.pipeline.parse import MAX_CONFIG_BYTES

EMPTY = b"<configuration><version>2</version><stream key='%s'/></configuration>"


def test_stock_config() -> None:
    assert load_config("default.xml").name == "default.xml"


def test_a_folder_goes_before_the_stock_configs(tmp_path: Path) -> None:
    (tmp_path / "default.xml").write_bytes(EMPTY % b"mine")
    assert load_config("default.xml", [tmp_path / "none", tmp_path]).stream.key == "mine"
    assert load_config("default.xml").stream.key == "main"


def test_the_same_file_is_parsed_once_and_a_changed_one_again(tmp_path: Path) -> None:
    path = tmp_path / "a b.xml"
    path.write_bytes(EMPTY % b"1")
    first = load_config("a b.xml", [tmp_path])
    assert load_config("a b.xml", [tmp_path]) is first
    path.write_bytes(EMPTY % b"2")
    os.utime(path, ns=(1, 1))
    assert load_config("a b.xml", [tmp_path]).stream.key == "2"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../default.xml", "/etc/passwd", "a/b.xml", "a\\b.xml", ".hidden.xml",
     "default.xml\0", "default.xml\n", "a" * 256, "ä.xml", "~/a.xml", "$HOME"],
)  # fmt: skip
def test_a_path_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / ".hidden.xml").write_bytes(EMPTY % b"x")
    with pytest.raises(ConfigError, match="is refused") as raised:
        load_config(name, [tmp_path])
    assert len(str(raised.value)) < 400


def test_a_missing_config_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "My_Grappa.xml").write_bytes(EMPTY % b"x")
    with pytest.raises(
        ConfigError, match=r"no config 'my_grapa\.xml'.*Did you mean My_Grappa\.xml"
    ):
        load_config("my_grapa.xml", [tmp_path])
    with pytest.raises(ConfigError, match=r"Known as well: .*default\.xml"):
        load_config("zzz", [tmp_path])


def test_config_names_join_the_folders(tmp_path: Path) -> None:
    (tmp_path / "mine.xml").write_bytes(EMPTY % b"x")
    (tmp_path / "notes.txt").write_bytes(b"")
    assert {"mine.xml", "default.xml"} <= set(config_names([tmp_path]))
    assert "notes.txt" not in config_names([tmp_path])


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge.xml").open("wb") as file:
        file.truncate(MAX_CONFIG_BYTES + 1)
    with pytest.raises(ConfigError, match="more than the limit"):
        load_config("huge.xml", [tmp_path])


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_bytes(b"<a>")
    with pytest.raises(ConfigError, match=r"Config 'bad\.xml': Not well-formed"):
        load_config("bad.xml", [tmp_path])
