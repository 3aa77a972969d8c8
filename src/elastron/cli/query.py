"""`elastron query`: what a server says of itself."""

from __future__ import annotations

from typing import Annotated

import typer

from elastron.cli.options import SettingsFile


def query(
    address: Annotated[str, typer.Argument(help="HOST or HOST:PORT of the server.")],
    queries: Annotated[
        list[str] | None,
        typer.Argument(help="Questions such as gadgetron::version [gadgetron::info]."),
    ] = None,
    *,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds to wait for an answer [30].")
    ] = None,
    connect_timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to try connecting [10].")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Ask a running server about itself.

    Known questions: gadgetron::info, gadgetron::version, gadgetron::build, ismrmrd::version,
    gadgetron::info::memory, gadgetron::info::cuda, gadgetron::cuda::devices.
    """
    from elastron.cli.console import print_json  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.settings import ClientSettings, load_settings  # noqa: PLC0415
    from elastron.client import Client, parse_address  # noqa: PLC0415

    try:
        where = parse_address(address)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="ADDRESS") from error
    flags = {"timeout_s": timeout, "connect_timeout_s": connect_timeout}
    assumed = load_settings("client", ClientSettings, file=settings, flags=flags)
    client = Client(*where, connect_timeout=assumed.connect_timeout_s, timeout=assumed.timeout_s)
    asked = queries or ["gadgetron::info"]
    answers = {each: client.query(each) for each in asked}
    if json:
        print_json(answers)
    elif len(answers) == 1:
        typer.echo(answers[asked[0]].rstrip("\n"))
    else:
        for each, answer in answers.items():
            typer.echo(f"{each}: {answer.rstrip()}")
