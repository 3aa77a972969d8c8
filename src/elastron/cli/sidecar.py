"""`elastron sidecar`: what an upstream Gadgetron lacks, beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastron.cli.options import LogFormat, LogLevel, SettingsFile


def sidecar(
    *,
    node: Annotated[
        str | None, typer.Option(help="HOST:PORT of the Gadgetron [127.0.0.1:9002].")
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="HOST:PORT of the admin pages [127.0.0.1:9080].")
    ] = None,
    capacity: Annotated[int | None, typer.Option(min=1, help="Scans at once [1].")] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="What it can do beyond the common, e.g. gpu; may be repeated."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="The Gadgetron's log, to count reconstructions.")
    ] = None,
    gateway: Annotated[
        str | None, typer.Option(help="URL of the gateway's admin pages, to find other nodes.")
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    settings: SettingsFile = None,
) -> None:
    """Stand beside an upstream Gadgetron, in its pod.

    Answers for it as a node of ours does: health and readiness, metrics, status, sessions, workers
    for distributed chains, and a drain that waits for its scans.
    """
    from elastron.cli.settings import load_settings  # noqa: PLC0415  - see elastron.cli
    from elastron.node.beside import SidecarSettings, run_sidecar  # noqa: PLC0415

    flags = {
        "node": node,
        "admin": admin,
        "capacity": capacity,
        "capabilities": capability or None,
        "log": log,
        "gateway": gateway,
        "log_format": log_format,
        "log_level": log_level,
    }
    run_sidecar(load_settings("sidecar", SidecarSettings, file=settings, flags=flags))
