"""The command as a whole: help, version, errors, completion, start-up, documentation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

import elastron
from elastron.autoscaler.controller_settings import ControllerSettings
from elastron.cli.app import app
from elastron.cli.console import as_bytes, as_seconds, counted
from elastron.cli.settings import ClientSettings
from elastron.gateway.settings import GatewaySettings
from elastron.node import NodeSettings
from elastron.node.beside.settings import SidecarSettings

REFERENCE = Path(__file__).parents[2] / "docs/reference/cli.md"


def _commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every command below a group, with its name."""
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if hasattr(command, "commands"):
            yield from _commands(command, *path, name)


COMMANDS = dict(_commands(typer.main.get_command(app)))


def test_the_version(run):
    assert run("--version").stdout == f"elastron {elastron.__version__}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(run, name):
    assert "Usage" in run(*name.split(), "--help").stdout
    assert COMMANDS[name].help


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_is_shown_as_written(run, monkeypatch, name):
    """No markup eats words: brackets hold defaults, asterisks are wildcards."""
    monkeypatch.setenv("COLUMNS", "400")
    shown = " ".join(run(*name.split(), "--help").stdout.split())
    for parameter in COMMANDS[name].params:
        text = " ".join((getattr(parameter, "help", None) or "").replace("`", "").split())
        assert text in shown


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name):
    sections = REFERENCE.read_text().split("\n## ")
    (section,) = [s for s in sections if s.startswith(f"`elastron {name}`")]
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{option}`" in section, f"{option} of elastron {name}"


def test_nothing_is_documented_that_is_not_there():
    for section in REFERENCE.read_text().split("\n## `elastron ")[1:]:
        name = section.partition("`")[0]
        known = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)}
        for line in section.splitlines():
            if line.startswith("| `-"):
                options = [w for w in line.split("|")[1].split("`") if w.startswith("-")]
                assert set(options) <= known, line


SETTINGS = {
    "client": ClientSettings,
    "node": NodeSettings,
    "gateway": GatewaySettings,
    "controller": ControllerSettings,
    "sidecar": SidecarSettings,
}


def _fields(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and descriptions of settings: a model's own, then those it shares with others.

    Those of inner models stand behind the field that holds them.
    """
    own_first = sorted(model.model_fields, key=lambda name: name not in model.__annotations__)
    for name in own_first:
        field = model.model_fields[name]
        yield before + name, " ".join((field.description or "").split())
        inner = [field.annotation, *get_args(field.annotation)]
        for each in inner:
            if isinstance(each, type) and issubclass(each, BaseModel):
                many = "[]." if each is not field.annotation and ... in inner else "."
                yield from _fields(each, before + name + many)


def _table(section: str) -> str:
    """The reference's table of one section."""
    return REFERENCE.read_text().partition(f"| `[{section}]` | meaning |\n")[2].partition("\n\n")[0]


def _rows(section: str) -> str:
    rows = [f"| `{name}` | {text} |" for name, text in _fields(SETTINGS[section])]
    return "\n".join(["|---|---|", *rows])


@pytest.mark.parametrize("section", sorted(SETTINGS))
def test_every_setting_is_documented(section):
    documented = [
        line.split("`")[1] for line in _table(section).splitlines() if line.startswith("| `")
    ]
    assert documented == [name for name, _ in _fields(SETTINGS[section])]


def test_unknown_commands_are_usage_errors(run):
    run("sned", code=2)


def test_debug_shows_where_an_error_came_from():
    command = [sys.executable, "-m", "elastron", "--debug", "inspect", "absent.h5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DataError" in done.stderr


def test_completion_knows_the_commands():
    env = os.environ | {
        "_ELASTRON_COMPLETE": "complete_bash",
        "COMP_WORDS": "elastron se",
        "COMP_CWORD": "1",
    }
    script = "from elastron.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['elastron']; {script}"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.stdout.split() == ["send"]


def test_help_and_completion_import_nothing_heavy():
    heavy = ("numpy", "h5py", "pydantic", "starlette", "ismrmrd", "structlog", "PIL")
    script = (
        f"import sys; import elastron.cli.app; print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345_678, "12.3 MB"), (5e12, "5 TB")],
)
def test_bytes_for_people(count, words):
    assert as_bytes(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.42, "0.42 s"), (12.3, "12 s"), (185, "3:05"), (3750, "1:02:30")]
)
def test_seconds_for_people(seconds, words):
    assert as_seconds(seconds) == words


def test_counts_for_people():
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def _rewrite() -> None:
    """Write the tables of settings anew: `python -m tests.cli.test_app`."""
    text = REFERENCE.read_text()
    for section in ("node", "gateway", "controller", "sidecar"):
        before, mark, rest = text.partition(f"| `[{section}]` | meaning |\n")
        _, gap, after = rest.partition("\n\n")
        text = before + mark + _rows(section) + (gap + after or "\n")
    REFERENCE.write_text(text)


if __name__ == "__main__":
    _rewrite()
