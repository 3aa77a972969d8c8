"""`elastron node`: one reconstruction node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from elastron.cli.options import LogFormat, LogLevel, SettingsFile

#: The Gadgetron's: a command that lists nodes.
WORKER_COMMAND = "GADGETRON_REMOTE_WORKER_COMMAND"


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
    peers: Annotated[
        str | None,
        typer.Option(help="HOST:PORT,... of nodes that work on parts of a scan."),
    ] = None,
    gateway_admin: Annotated[
        str | None,
        typer.Option(help="URL of the gateway's admin pages, to find such nodes there."),
    ] = None,
    warm_workers: Annotated[
        int | None, typer.Option(min=0, help="Idle worker processes kept ready.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads a scan may use [the cores, shared out].")
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    settings: SettingsFile = None,
) -> None:
    """Run a reconstruction node.

    Settings come from a file (elastron.toml), the environment (ELASTRON_NODE__CAPACITY=4) and
    these options; each wins over the one before. SIGTERM lets running scans finish.

    Without --peers and --gateway-admin, the command GADGETRON_REMOTE_WORKER_COMMAND is asked for
    nodes that work on parts of a scan, as by a Gadgetron.
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
        "peers": peer_flags(peers, gateway_admin) or None,
        "warm_workers": warm_workers,
        "threads_per_session": threads,
        "log_format": log_format,
        "log_level": log_level,
    }
    run_node(load_settings("node", NodeSettings, file=settings, flags=flags))


def peer_flags(addresses: str | None, gateway_admin: str | None) -> dict[str, Any]:
    """The flags about other nodes as settings, with the Gadgetron's environment variable."""
    given = {
        "addresses": None if addresses is None else [each.strip() for each in addresses.split(",")],
        "gateway_admin": gateway_admin,
        "command": os.environ.get(WORKER_COMMAND) or None,
    }
    return {name: value for name, value in given.items() if value is not None}
