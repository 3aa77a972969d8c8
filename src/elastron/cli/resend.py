"""`elastron resend`: archived scans once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastron.cli.options import ArchiveFolder, Json, OutputFile, OutputGroup, Quiet, SettingsFile


def resend(
    scan: Annotated[
        str,
        typer.Argument(
            help="ID of an archived scan, its folder, or a file with a recorded stream.",
            metavar="ID|PATH",
        ),
    ],
    *,
    folder: ArchiveFolder = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway",
            "-g",
            help="HOST:PORT or URL of the gateway's admin server, which knows its archive "
            "[this machine's].",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="Another config, by its name at the server."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", "-C", help="Another config, a local file.", exists=True),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", "-a", help="HOST or HOST:PORT of the server [localhost:9002]."),
    ] = None,
    output: OutputFile = Path("out.h5"),
    output_group: OutputGroup = None,
    json: Json = False,
    quiet: Quiet = False,
    settings: SettingsFile = None,
) -> None:
    """Send an archived scan once more and store the images.

    It goes out byte for byte as its client sent it, unless another config is given. Of a scan
    that was cut off, all whole messages are sent.
    """
    from elastron.cli.archiving import find_scan, resend_scan  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.receiving import Target  # noqa: PLC0415
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415

    if config is not None and config_file is not None:
        raise typer.BadParameter("give a name (-c) or a file (-C), not both", param_hint="-C")
    flags = {"address": address, "gateway": gateway}
    client = load_settings("client", ClientSettings, file=settings, flags=flags)
    name, path = find_scan(scan, folder, client)
    target = Target(name, output, output_group, name)
    if not resend_scan(client, path, target, config_file or config, json=json, quiet=quiet):
        raise typer.Exit(1)
