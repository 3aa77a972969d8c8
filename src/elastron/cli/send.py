"""`elastron send`: scans to a server, images into a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastron.cli.options import Json, Quiet, SettingsFile


def send(
    scans: Annotated[
        list[str],
        typer.Argument(
            help="ISMRMRD HDF5 files, or patterns such as 'study/*.h5'.", metavar="SCAN..."
        ),
    ],
    *,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="Config by its name at the server [default.xml]."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config-file", "-C", help="A local config file, sent by value.", exists=True
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", "-a", help="HOST or HOST:PORT of the server [localhost:9002]."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=1, max=65535, help="Port of the server.")
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(
            metavar="WAY",
            help="Send through a tunnel: a site's package (site.zip), psk://SITE@HOST:PORT or "
            "ssh://USER@HOST; -a is the gateway as the far end of ssh knows it.",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="HDF5 file for the images, appended to; or a folder/ that gets one file a scan.",
        ),
    ] = "out.h5",
    group: Annotated[
        str, typer.Option("--group", "-g", help="Group of the raw data in the scan's file.")
    ] = "dataset",
    output_group: Annotated[
        str | None,
        typer.Option(
            "--output-group",
            "-G",
            help="Group for the images. Default: date and time; for several scans in one file, "
            "the scan's name.",
        ),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=256, help="Scans sent at once.")] = 1,
    bits: Annotated[
        int | None,
        typer.Option("--precision", "-P", min=1, max=31, help="Compress to so many bits a number."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            "-T",
            help="Compress with errors up to this share of the noise (0.3 is good); the scan "
            "must have noise readouts.",
        ),
    ] = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Leave the scan with a gateway and print its ticket; `elastron fetch TICKET` "
            "gets the images.",
        ),
    ] = False,
    connect_timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds for which connecting is tried again and again [10]."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="Give up when nothing has moved for so many seconds [never]."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    settings: SettingsFile = None,
) -> None:
    """Send scans to a Gadgetron server and store the images.

    Images go to `OUT.h5` as `gadgetron_ismrmrd_client` writes them:
    `GROUP/image_SERIES/{header,data,attributes}`. The exit code is 1 if any scan failed.
    """
    from elastron.cli.sending import Order, send_scans  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415
    from elastron.client import Compression  # noqa: PLC0415

    if config is not None and config_file is not None:
        raise typer.BadParameter("give a name (-c) or a file (-C), not both", param_hint="-C")
    if bits is not None and tolerance is not None:
        raise typer.BadParameter("give bits (-P) or a tolerance (-T), not both", param_hint="-T")
    if tolerance is not None and not tolerance > 0:
        raise typer.BadParameter("the tolerance must be above 0", param_hint="-T")
    compression = None
    if bits is not None or tolerance is not None:
        compression = Compression(bits=bits, noise_share=tolerance)
    flags = {
        "address": address,
        "via": via,
        "config": config,
        "connect_timeout_s": connect_timeout,
        "timeout_s": timeout,
    }
    order = Order(
        scans=scans,
        client=load_settings("client", ClientSettings, file=settings, flags=flags),
        port=port,
        config_file=config_file,
        output=output,
        group=group,
        output_group=output_group,
        parallel=parallel,
        compression=compression,
        detach=detach,
    )
    if not send_scans(order, json=json, quiet=quiet):
        raise typer.Exit(1)
