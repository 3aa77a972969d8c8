"""The command `elastron`: its commands, its version, and what becomes of errors."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import elastron
from elastron.cli import (
    access,
    aks,
    archive,
    check,
    configs,
    connect,
    controller,
    deploy,
    down,
    drain,
    export,
    fetch,
    gateway,
    inspect,
    logs,
    node,
    phantom,
    query,
    recon,
    resend,
    scale,
    send,
    sidecar,
    simulate,
    status,
    storage,
    tunnel,
    up,
    view,
    workers,
)
from elastron.cli.console import show_error
from elastron.errors import ElastronError


class _Group(TyperGroup):
    """Turns errors raised on purpose into one clear line and exit code 1."""

    def invoke(self, ctx: Any) -> object:  # typer brings a click of its own, not to be named
        try:
            return super().invoke(ctx)
        except ElastronError as error:
            if ctx.params.get("debug"):
                raise
            show_error(str(error))
        except OSError as error:
            # A broken pipe is the reader's wish; the rest are files that are not there or not ours.
            if ctx.params.get("debug") or isinstance(error, BrokenPipeError) or not error.filename:
                raise
            show_error(f"{error.filename}: {error.strerror}")
        raise typer.Exit(1)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    # Values of local variables may be a patient's.
    pretty_exceptions_show_locals=False,
    # Not "rich": it would take a default in square brackets for a style.
    rich_markup_mode="markdown",
    epilog="Documentation: https://github.com/elastron/elastron/tree/main/docs",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"elastron {elastron.__version__}")
        raise typer.Exit


@app.callback()
def _elastron(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="ELASTRON_DEBUG", help="Show tracebacks of errors."),
    ] = False,
) -> None:
    """Elastron: an elastic fleet of Gadgetrons. MR raw data in, images out."""
    del debug  # read from the context where errors are shown


_SCANS = "Scans and images"
_SERVERS = "Servers"
_ACCESS = "Ways in"
_CLUSTERS = "Clusters and clouds"

app.command(rich_help_panel=_SCANS)(send.send)
app.command(rich_help_panel=_SCANS)(fetch.fetch)
app.command(rich_help_panel=_SCANS)(recon.recon)
app.command(rich_help_panel=_SCANS)(view.view)
app.command(rich_help_panel=_SCANS)(export.export)
app.command(rich_help_panel=_SCANS)(inspect.inspect)
app.command(rich_help_panel=_SCANS)(check.check)
app.command(rich_help_panel=_SCANS)(phantom.phantom)
app.command(rich_help_panel=_SERVERS)(up.up)
app.command(rich_help_panel=_SERVERS)(gateway.gateway)
app.command(rich_help_panel=_SERVERS)(node.node)
app.command(rich_help_panel=_SERVERS)(status.status)
app.command(rich_help_panel=_SERVERS)(scale.scale)
app.command(rich_help_panel=_SERVERS)(drain.drain)
app.command(rich_help_panel=_SERVERS)(logs.logs)
app.command(rich_help_panel=_SERVERS)(down.down)
app.command(rich_help_panel=_SERVERS)(workers.workers)
app.add_typer(archive.app, name="archive", rich_help_panel=_SERVERS)
app.command(rich_help_panel=_SERVERS)(resend.resend)
app.add_typer(storage.app, name="storage", rich_help_panel=_SERVERS)
app.command(rich_help_panel=_SERVERS)(simulate.simulate)
app.command(rich_help_panel=_SERVERS)(sidecar.sidecar)
app.add_typer(controller.app, name="controller", rich_help_panel=_SERVERS)
app.command(rich_help_panel=_SERVERS)(query.query)
app.add_typer(access.app, name="access", rich_help_panel=_ACCESS)
app.add_typer(tunnel.app, name="tunnel", rich_help_panel=_ACCESS)
app.command(rich_help_panel=_SERVERS)(configs.configs)
app.add_typer(deploy.app, name="deploy", rich_help_panel=_CLUSTERS)
app.command(rich_help_panel=_CLUSTERS)(connect.connect)
app.add_typer(aks.app, name="aks", rich_help_panel=_CLUSTERS)

# Completion asks often; without colour and panels it answers quicker.
if any(name.startswith("_ELASTRON_COMPLETE") for name in os.environ):
    app.rich_markup_mode = None
