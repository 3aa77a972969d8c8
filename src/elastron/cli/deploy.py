"""`elastron deploy`: a fleet onto a Kubernetes cluster, and whether it keeps its promises there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from elastron.cli.cluster_options import Context, Kubeconfig, Namespace

RELEASE = "gt1"
_PARTS = ("scan", "storage", "scale", "kill")


class _ReleaseOrCommand(TyperGroup):
    """`deploy check ...` is a command; `deploy NAME ...` is the group itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in self.commands:
            super().parse_args(ctx, [])
            ctx._protected_args, ctx.args = args[:1], args[1:]
            return ctx.args
        ctx.allow_interspersed_args = True
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ReleaseOrCommand,
    invoke_without_command=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def deploy(
    ctx: typer.Context,
    release: Annotated[str | None, typer.Argument(help=f"Name of the release [{RELEASE}].")] = None,
    *,
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values", "-f", help="Values file; repeatable, later ones win.", exists=True
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One value, as helm's; never a secret."),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    chart: Annotated[
        str, typer.Option(help="One of our charts, a folder, an archive or a reference.")
    ] = "gadgetron",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show what would change, no more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on though a check has failed.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until everything runs.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 600,
    json: Annotated[bool, typer.Option("--json", help="Print what was found and done as JSON.")] = (
        False
    ),
) -> None:
    """Bring a fleet onto a Kubernetes cluster, or bring it up to date.

    Looks whether the cluster can take it, shows what changes, asks, installs with helm, waits, and
    says how to connect. What is installed is what the values files say: values of an earlier time
    are not kept.
    """
    if ctx.invoked_subcommand is not None:
        return
    from elastron.cli.cluster_options import open_cluster  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.deploying import Deployment, Wish  # noqa: PLC0415

    helm, kubectl, where = open_cluster(namespace, context, kubeconfig)
    wish = Wish(
        release=release or RELEASE,
        namespace=where,
        chart=chart,
        values=tuple(values or ()),
        sets=tuple(sets or ()),
        wait_s=timeout if wait else None,
        context=context,
    )
    done = Deployment(helm, kubectl, wish, json=json).run(dry_run=dry_run, yes=yes, force=force)
    if not done:
        raise typer.Exit(1)


@app.command()
def check(
    release: Annotated[str, typer.Argument(help="Name of the release.")] = RELEASE,
    *,
    only: Annotated[
        str | None,
        typer.Option(metavar="PART,...", help=f"Some of {', '.join(_PARTS)} [all]."),
    ] = None,
    in_cluster: Annotated[
        bool, typer.Option("--in-cluster", help="Send from inside the cluster too (helm test).")
    ] = False,
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", help="A config to try; repeatable [some common ones]."),
    ] = None,
    pool: Annotated[str, typer.Option(help="Pool to scale and to kill in.")] = "default",
    scans: Annotated[
        int | None, typer.Option(min=1, help="Scans at once to make the pool grow [it decides].")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds for each thing that is waited for.")
    ] = 600,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Try what a deployed fleet promises, with phantoms.

    scan: images through the Service are those reconstructed here. storage: a scan finds its noise
    scan. scale: the pool grows under load and shrinks again. kill: a node's pod is killed in the
    middle of a scan, and the client gets every image. The last two disturb: not among patients.
    Exit code 0 means that all was as promised.
    """
    from elastron.cli.cluster_options import open_cluster  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.deploy_checking import FleetCheck  # noqa: PLC0415

    parts = tuple(_PARTS if only is None else (each.strip() for each in only.split(",")))
    if unknown := [each for each in parts if each not in _PARTS]:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: there are {', '.join(_PARTS)}", param_hint="--only"
        )
    helm, kubectl, _ = open_cluster(namespace, context, kubeconfig)
    checker = FleetCheck(helm, kubectl, release, timeout_s=timeout, json=json)
    if not checker.run(parts, configs=config, pool=pool, scans=scans, in_cluster=in_cluster):
        raise typer.Exit(1)
