"""`elastron configs`: the configs that come with Elastron."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def configs(
    name: Annotated[
        str | None, typer.Argument(help="Print this config's XML instead of the list.")
    ] = None,
    *,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with configs of your own.", exists=True, file_okay=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the configs known here, or print one of them."""
    from elastron.cli.config_list import list_configs, print_config  # noqa: PLC0415

    if name is not None:
        print_config(name, folder or [])
    else:
        list_configs(folder or [], json=json)
