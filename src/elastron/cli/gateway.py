"""`elastron gateway`: the one address of a fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from elastron.cli.options import LogFormat, LogLevel, SettingsFile


def gateway(
    *,
    listen: Annotated[
        str | None,
        typer.Option(help="HOST:PORT for scans, or 'none'; port 0: a free one [127.0.0.1:9002]."),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the admin pages, or 'none' [127.0.0.1:9080]."),
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(
            help="Where nodes are, separated by commas: HOST:PORT[/ADMIN-PORT][@POOL], "
            "dns:NAME:PORT, kubernetes:SERVICE, file:PATH."
        ),
    ] = None,
    journal_folder: Annotated[
        Path | None,
        typer.Option(help="Folder for running scans that do not fit the memory.", file_okay=False),
    ] = None,
    archive: Annotated[
        Literal["off", "failed", "all"] | None,
        typer.Option(help="Which scans are kept after their end [off]."),
    ] = None,
    archive_folder: Annotated[
        Path | None, typer.Option(help="Where they are kept.", file_okay=False)
    ] = None,
    tls: Annotated[
        str | None, typer.Option(help="HOST:PORT for scans over TLS; needs a key or certificate.")
    ] = None,
    psk_file: Annotated[
        Path | None,
        typer.Option(help="Pre-shared keys, as stunnel's PSKsecrets (Python 3.13).", exists=True),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate for TLS (PEM).", exists=True)
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option(help="Its key, if it is in a file of its own.", exists=True)
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(help="Signs the certificates that clients must show.", exists=True),
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    settings: SettingsFile = None,
) -> None:
    """Run a gateway before reconstruction nodes.

    It takes scans at once, gives each to the least loaded node, keeps it until its client has all
    images, and sends it to another node should the first one fail.

    Settings come from a file (elastron.toml), the environment (ELASTRON_GATEWAY__LISTEN=:9002) and
    these options; each wins over the one before. SIGTERM lets running scans finish.
    """
    from elastron.cli.settings import load_settings  # noqa: PLC0415  - see elastron.cli
    from elastron.gateway import GatewaySettings, run_gateway  # noqa: PLC0415

    door = _given(
        listen=tls,
        psk_file=psk_file,
        certificate=certificate,
        private_key=private_key,
        client_ca=client_ca,
    )
    if door and tls is None:
        raise typer.BadParameter("keys and certificates need --tls HOST:PORT", param_hint="--tls")
    flags = {
        "listen": listen,
        "admin": admin,
        "registry": _given(nodes=None if nodes is None else tuple(nodes.split(","))) or None,
        "journal": _given(folder=journal_folder) or None,
        "archive": _given(keep=archive, folder=archive_folder) or None,
        "tls": (door,) if door else None,
        "log_format": log_format,
        "log_level": log_level,
    }
    run_gateway(load_settings("gateway", GatewaySettings, file=settings, flags=flags))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
