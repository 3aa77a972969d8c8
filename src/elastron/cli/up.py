"""`elastron up`: everything on this machine, with one command."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from elastron.cli.options import SettingsFile


def up(
    *,
    listen: Annotated[
        str | None,
        typer.Option(help="HOST:PORT for scans; port 0: a free one [127.0.0.1:9002]."),
    ] = None,
    admin: Annotated[
        str | None, typer.Option(help="HOST:PORT of the admin pages [127.0.0.1:9080].")
    ] = None,
    expose: Annotated[
        Literal["psk"] | None,
        typer.Option(
            help="Let sites with a pre-shared key in from outside (TLS); all else stays here."
        ),
    ] = None,
    expose_at: Annotated[
        str | None,
        typer.Option(help="HOST:PORT for them; port 0: a free one [:9003, every interface]."),
    ] = None,
    psk_file: Annotated[
        Path | None,
        typer.Option(
            help="Their keys, as `elastron access psk create` writes them [stunnel.secrets]."
        ),
    ] = None,
    allow_insecure: Annotated[
        bool,
        typer.Option(
            "--allow-insecure",
            help="Let --listen and --admin be open to other machines, without key or encryption.",
        ),
    ] = False,
    minimum: Annotated[
        int | None, typer.Option("--min", min=0, help="Nodes at least, kept warm [1].")
    ] = None,
    maximum: Annotated[
        int | None, typer.Option("--max", min=1, help="Nodes at most [one scan a core].")
    ] = None,
    capacity: Annotated[
        int | None, typer.Option(min=1, help="Scans at once on one node [1].")
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            help="A pool: name=gpu,min=0,max=2,capacity=1,memory=8GiB,configs=A*+B*. Repeatable.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            help="fleet.yaml: pools, scaling, schedule.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
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
    name: Annotated[str, typer.Option(help="Name of the fleet.")] = "default",
    state: Annotated[
        Path | None,
        typer.Option(help="State folder [$XDG_STATE_HOME/elastron/NAME].", file_okay=False),
    ] = None,
    lease: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds that an idle fleet goes on for when this command was killed; started "
            "again within them, it takes the fleet over.",
        ),
    ] = 600,
    record: Annotated[
        Path | None,
        typer.Option(help="Write every scan to this CSV, for `elastron simulate`.", dir_okay=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON on stdout when ready.")
    ] = False,
    settings: SettingsFile = None,
) -> None:
    """Start Elastron on this machine: a gateway, nodes behind it, and a storage server.

    Nodes come and go with the scans. Ctrl-C lets running scans finish; once more stops at once.
    Everything listens on this machine only, but for what --expose opens.
    """
    from elastron.cli.child_command import CHILD  # noqa: PLC0415  - see elastron.cli
    from elastron.fleet.local.charge import in_charge  # noqa: PLC0415
    from elastron.fleet.local.folder import StateFolder  # noqa: PLC0415
    from elastron.fleet.local.launch import Nursery  # noqa: PLC0415
    from elastron.fleet.local.state import state_path  # noqa: PLC0415
    from elastron.service.numerics import NUMERIC_ENVIRONMENT  # noqa: PLC0415

    folder = StateFolder(state_path(name, state))
    nursery = Nursery(folder, CHILD, {**os.environ, **NUMERIC_ENVIRONMENT})
    with in_charge(folder, name) as own, contextlib.closing(nursery):
        nursery.warm()  # it imports what it needs while we do

        from elastron.cli.announcing import print_json_line, show  # noqa: PLC0415
        from elastron.cli.exposing import (  # noqa: PLC0415
            EXPOSED_AT,
            KEYS,
            refuse_open_doors,
        )
        from elastron.cli.exposing import expose as exposed  # noqa: PLC0415
        from elastron.cli.fleet_plan import PoolWish, plan_fleet  # noqa: PLC0415
        from elastron.cli.serving import Wish, data_folder, serve_here  # noqa: PLC0415
        from elastron.cli.settings import load_settings  # noqa: PLC0415
        from elastron.fleet.settings import load_fleet  # noqa: PLC0415
        from elastron.gateway.settings import GatewaySettings  # noqa: PLC0415
        from elastron.node import NodeSettings, available_cores  # noqa: PLC0415

        node_flags = {
            "config_folders": [each.absolute() for each in config_folder or ()] or None,
            "storage_url": storage,
        }
        node = load_settings("node", NodeSettings, file=settings, flags=node_flags)
        if capacity is None and "capacity" in node.model_fields_set:
            capacity = node.capacity
        fleet = plan_fleet(
            file=None if file is None else load_fleet(file),
            pools=pool or (),
            wish=PoolWish(min=minimum, max=maximum, capacity=capacity),
            cores=available_cores(),
        )
        gateway_flags = {"listen": listen, "admin": admin}
        gateway = load_settings("gateway", GatewaySettings, file=settings, flags=gateway_flags)
        if not allow_insecure:
            refuse_open_doors(gateway)
        exposure = None
        if expose is not None:
            gateway, exposure = exposed(gateway, expose_at or EXPOSED_AT, psk_file or KEYS)
        elif expose_at is not None or psk_file is not None:
            raise typer.BadParameter("goes with --expose psk", param_hint="--expose-at, --psk-file")
        wish = Wish(
            name=name,
            fleet=fleet,
            gateway=gateway,
            exposure=exposure,
            node=node,
            data=data or data_folder(),
            own_storage=storage is None,
            lease_s=lease,
            settings_file=settings,
            trace=record,
        )
        serve_here(wish, folder, own, nursery, print_json_line if json else show)
