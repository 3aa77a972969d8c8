"""`elastron check`: does what stands at an address reconstruct rightly?"""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.options import SettingsFile


def check(
    address: Annotated[
        str | None, typer.Argument(help="HOST or HOST:PORT of the server [localhost:9002].")
    ] = None,
    *,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config", "-c", help="A config of the server; repeatable [three common ones]."
        ),
    ] = None,
    scans: Annotated[int, typer.Option(min=1, max=100, help="Scans by each config.")] = 1,
    connect_timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to try connecting [10].")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds in which something must move.")
    ] = 120,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Send phantoms to a server and compare its images with those reconstructed here.

    For a tunnel, a new deployment or an upgrade: exit code 0 means that scans get through and that
    the images are right. No patient's data are used.
    """
    from elastron.cli.checking import check_server  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415
    from elastron.client import Client, parse_address  # noqa: PLC0415

    flags = {"address": address, "connect_timeout_s": connect_timeout}
    assumed = load_settings("client", ClientSettings, file=settings, flags=flags)
    try:
        where = parse_address(assumed.address)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="ADDRESS") from error
    client = Client(*where, connect_timeout=assumed.connect_timeout_s, timeout=timeout)
    if not check_server(client, config, scans=scans, json=json):
        raise typer.Exit(1)
