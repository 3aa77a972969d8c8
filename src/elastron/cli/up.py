"""`elastron up`: everything on this machine, with one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def up(
    *,
    listen: Annotated[
        str | None,
        typer.Option(help="HOST:PORT for scans; port 0: a free one [127.0.0.1:9002]."),
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="HOST:PORT of the admin pages [127.0.0.1:9080].")
    ] = None,
    capacity: Annotated[int | None, typer.Option(min=1, help="Scans at once [one a core].")] = None,
    config_folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with configs of your own.", exists=True, file_okay=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder for what storage keeps [$XDG_DATA_HOME/elastron].", file_okay=False
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="URL of a storage server that runs already, or `none` [one is started]."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON on stdout when ready.")
    ] = False,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file (TOML or YAML).", exists=True)
    ] = None,
) -> None:
    """Start Elastron on this machine: a node, its admin pages, and a storage server.

    Ctrl-C lets running scans finish; once more stops at once.
    """
    from elastron.cli.serving import serve_here  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.settings import load_settings  # noqa: PLC0415
    from elastron.node import NodeSettings  # noqa: PLC0415

    flags = {
        "listen": listen,
        "admin": admin,
        "capacity": capacity,
        "config_folders": config_folder or None,
        "storage_url": storage,
    }
    node = load_settings("node", NodeSettings, file=settings, flags=flags)
    serve_here(node, data=data, own_storage=storage is None, json=json)
