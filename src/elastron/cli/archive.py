"""`elastron archive`: the scans a gateway has kept."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.options import ArchiveFolder, GatewayAdmin, SettingsFile

app = typer.Typer(help="The scans a gateway has kept.", no_args_is_help=True)


@app.command()
def ls(
    *,
    folder: ArchiveFolder = None,
    gateway: GatewayAdmin = None,
    json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
    settings: SettingsFile = None,
) -> None:
    """List archived scans, the newest last."""
    from elastron.cli.archiving import list_scans  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415

    client = load_settings("client", ClientSettings, file=settings, flags={"gateway": gateway})
    list_scans(folder, client, json=json)


@app.command()
def rm(
    ids: Annotated[
        list[str] | None, typer.Argument(help="IDs of scans, as `ls` shows them.", metavar="ID...")
    ] = None,
    *,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Scans that are older than so many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All scans.")] = False,
    folder: ArchiveFolder = None,
    gateway: GatewayAdmin = None,
    settings: SettingsFile = None,
) -> None:
    """Delete archived scans."""
    from elastron.cli.archiving import remove_scans  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415

    if sum((bool(ids), older_than is not None, everything)) != 1:
        raise typer.BadParameter("say which: IDs, --older-than DAYS, or --all", param_hint="ID")
    client = load_settings("client", ClientSettings, file=settings, flags={"gateway": gateway})
    remove_scans(ids or [], folder, client, older_than_days=older_than)
