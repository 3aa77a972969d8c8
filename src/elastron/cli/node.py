"""`elastron node`: one reconstruction node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def node(
    *,
    listen: Annotated[
        str | None,
        typer.Option(help="HOST:PORT for scans; port 0: a free one [127.0.0.1:9002]."),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the admin pages, or 'none' [127.0.0.1:9080]."),
    ] = None,
    capacity: Annotated[int | None, typer.Option(min=1, help="Scans at once [one a core].")] = None,
    storage: Annotated[
        str | None, typer.Option(help="URL of the storage server, for measurement dependencies.")
    ] = None,
    config_folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder with configs of your own.", exists=True, file_okay=False),
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="What this node can do beyond the common, e.g. gpu; may be repeated."),
    ] = None,
    warm_workers: Annotated[
        int | None, typer.Option(min=0, help="Idle worker processes kept ready.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads a scan may use [the cores, shared out].")
    ] = None,
    log_format: Annotated[
        Literal["auto", "console", "json"] | None, typer.Option(help="How log lines look.")
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Least level that is logged."),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file (TOML or YAML).", exists=True)
    ] = None,
) -> None:
    """Run a reconstruction node.

    Settings come from a file (elastron.toml), the environment (ELASTRON_NODE__CAPACITY=4) and
    these options; each wins over the one before. SIGTERM lets running scans finish.
    """
    from elastron.cli.settings import load_settings  # noqa: PLC0415  - see elastron.cli
    from elastron.node import NodeSettings, run_node  # noqa: PLC0415

    flags = {
        "listen": listen,
        "admin": admin,
        "capacity": capacity,
        "storage_url": storage,
        "config_folders": config_folder or None,
        "capabilities": capability or None,
        "warm_workers": warm_workers,
        "threads_per_session": threads,
        "log_format": log_format,
        "log_level": log_level,
    }
    run_node(load_settings("node", NodeSettings, file=settings, flags=flags))
