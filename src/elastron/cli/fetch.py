"""`elastron fetch`: the images of a scan that was left with a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastron.cli.options import GatewayAdmin, Json, OutputFile, OutputGroup, Quiet, SettingsFile


def fetch(
    ticket: Annotated[
        str, typer.Argument(help="As `elastron send --detach` printed it.", metavar="TICKET")
    ],
    *,
    gateway: GatewayAdmin = None,
    output: OutputFile = Path("out.h5"),
    output_group: OutputGroup = None,
    wait: Annotated[
        bool, typer.Option(help="Wait until the scan is finished; else one that runs is an error.")
    ] = True,
    json: Json = False,
    quiet: Quiet = False,
    settings: SettingsFile = None,
) -> None:
    """Fetch the images of a scan that was left with a gateway.

    Images lie in the file as `elastron send` puts them. They stay with the gateway for its
    retention time (an hour, unless set otherwise) and may be fetched again until then.
    """
    from elastron.cli.fetching import fetch_images  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.receiving import Target  # noqa: PLC0415
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415

    client = load_settings("client", ClientSettings, file=settings, flags={"gateway": gateway})
    session = ticket.partition("-")[0]
    target = Target(session, output, output_group, session)
    if not fetch_images(client, ticket, target, wait=wait, json=json, quiet=quiet):
        raise typer.Exit(1)
