"""What `elastron configs` does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from elastron.cli.console import print_json, show_error, stdout
from elastron.errors import ConfigError
from elastron.pipeline import Config, config_names, load_config
from elastron.pipeline.config import GadgetNode, ParallelNode, ParallelProcessNode

_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)


def list_configs(folders: Sequence[Path], *, json: bool) -> None:
    """Every config with what it says of itself; as JSON also with its chain."""
    names = config_names(folders)
    if json:
        print_json([_described(name, folders) for name in names])
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    for name in names:
        table.add_row(Text(name, "bold"), Text(_description(_xml(name, folders))))
    stdout().print(table)


def print_config(name: str, folders: Sequence[Path]) -> None:
    """The config as it lies in its file."""
    load_config(name, folders)  # says what is known, if this is not
    typer.echo(_xml(name, folders).rstrip())


def _described(name: str, folders: Sequence[Path]) -> dict[str, object]:
    try:
        gadgets = list(_steps(load_config(name, folders)))
    except ConfigError as error:
        show_error(str(error), name)
        gadgets = None
    return {"name": name, "description": _description(_xml(name, folders)), "gadgets": gadgets}


def _xml(name: str, folders: Sequence[Path]) -> str:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text(errors="replace")
    return (files("elastron.pipeline") / "configs" / name).read_text()


def _description(xml: str) -> str:
    """The first comment of a config, in one line."""
    comment = _COMMENT.search(xml)
    return " ".join(comment[1].split()) if comment else ""


def _steps(config: Config) -> Iterable[str]:
    for node in config.stream.nodes:
        match node:
            case GadgetNode():
                yield node.label
            case ParallelProcessNode():
                yield f"parallel({', '.join(gadget.label for gadget in node.gadgets)})"
            case ParallelNode():
                yield f"{node.branch.label} … {node.merge.label}"
            case _:
                yield type(node).__name__.removesuffix("Node").lower()
