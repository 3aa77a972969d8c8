"""`elastron tunnel`: an address here that leads to a gateway elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elastron.errors import ConfigError, ElastronError

if TYPE_CHECKING:
    from elastron.access.problems import Problem
    from elastron.access.tunnel import Tunnel
    from elastron.service.address import Address

app = typer.Typer(
    help="Open an address here that leads to a gateway elsewhere.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ListenOption = Annotated[
    str,
    typer.Option(metavar="HOST:PORT", help="Where clients here connect; port 0: a free one."),
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Only see whether the gateway answers; exit code 0 or 1.")
]
EveryOption = Annotated[
    float, typer.Option("--check-every", min=1, help="Seconds between two looks at the gateway.")
]
TimeoutOption = Annotated[
    int, typer.Option(min=1, max=600, help="Seconds to connect, and to wait for an answer.")
]

_LISTEN = "127.0.0.1:9002"
_EVERY_S = 60.0
_TIMEOUT_S = 10


@app.command()
def psk(
    *,
    to: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="The gateway's TLS listener, or a stunnel server."),
    ],
    key_file: Annotated[
        Path, typer.Option(help="The site's key, a stunnel.secrets file.", exists=True)
    ],
    identity: Annotated[
        str | None, typer.Option(help="Which key, if the file has several [the first].")
    ] = None,
    listen: ListenOption = _LISTEN,
    check: CheckOption = False,
    check_every: EveryOption = _EVERY_S,
    timeout: TimeoutOption = _TIMEOUT_S,
) -> None:
    """By TLS with a pre-shared key, as stunnel does; before Python 3.13 by stunnel itself."""
    from elastron.access.keyring import KeyFile  # noqa: PLC0415
    from elastron.access.psk_tunnel import PskTunnelSettings  # noqa: PLC0415
    from elastron.access.stunnel_tunnel import key_tunnel  # noqa: PLC0415

    keys = KeyFile(key_file).load().keys
    if not keys:
        raise ConfigError(f"{key_file} has no key.")
    key = next(iter(keys.values())) if identity is None else keys.get(identity)
    if key is None:
        raise ConfigError(f"{key_file} has no key of {identity!r}.")
    settings = PskTunnelSettings(
        _address(listen, "--listen"),
        _address(to, "--to", 9002),
        key,
        connect_timeout_s=timeout,
        patience_s=0 if check else 60,
    )
    tunnel = key_tunnel(settings)
    _run(tunnel, f"{to} as {key.identity}", once=check, every_s=check_every, timeout_s=timeout)


@app.command()
def ssh(
    *,
    to: Annotated[
        str,
        typer.Option(metavar="[USER@]HOST[:PORT]", help="The jump server; port 22 unless said."),
    ],
    gateway: Annotated[
        str,
        typer.Option(metavar="HOST[:PORT]", help="The gateway, as the jump server knows it."),
    ] = "gt1-gadgetron:9002",
    identity_file: Annotated[
        Path | None,
        typer.Option("--identity-file", "-i", help="Private key [ssh's choice].", exists=True),
    ] = None,
    known_hosts: Annotated[
        Path | None,
        typer.Option(help="The jump server's host keys [the user's known_hosts].", exists=True),
    ] = None,
    accept_new: Annotated[
        bool,
        typer.Option("--accept-new", help="Trust a server that is not known yet, and remember it."),
    ] = False,
    listen: ListenOption = _LISTEN,
    check: CheckOption = False,
    check_every: EveryOption = _EVERY_S,
    timeout: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Through the SSH jump server, with the OpenSSH client of this machine."""
    from elastron.access.ssh_tunnel import SshTunnel, SshTunnelSettings  # noqa: PLC0415

    user, _, host = to.rpartition("@")
    settings = SshTunnelSettings(
        _address(listen, "--listen"),
        _address(host, "--to", 22),
        _address(gateway, "--gateway", 9002),
        user=user or None,
        identity_file=identity_file,
        known_hosts=known_hosts,
        accept_new=accept_new,
        connect_timeout_s=timeout,
    )
    _run(
        SshTunnel(settings),
        f"{gateway} through {to}",
        once=check,
        every_s=check_every,
        timeout_s=timeout,
    )


def _address(text: str, option: str, port: int | None = None) -> Address:
    from elastron.client import parse_address  # noqa: PLC0415
    from elastron.service.address import Address  # noqa: PLC0415

    try:
        if port is None:
            return Address.parse(text)
        return Address(*parse_address(text, port))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _run(tunnel: Tunnel, leads_to: str, *, once: bool, every_s: float, timeout_s: float) -> None:
    import asyncio  # noqa: PLC0415

    from elastron.access.tunnel import TunnelError, check, keep  # noqa: PLC0415
    from elastron.cli.console import show_error, stderr  # noqa: PLC0415
    from elastron.service.signals import run_until_signal  # noqa: PLC0415

    def tell(what: str | Problem) -> None:
        if isinstance(what, str):
            text = f"{tunnel.address} leads to {leads_to}: {what}"
            stderr().print(text, soft_wrap=True, markup=False)
        else:
            show_error(what.text, "waiting")

    async def stay() -> None:
        keeping = asyncio.create_task(
            keep(tunnel, every_s=every_s, timeout_s=timeout_s, on_change=tell)
        )
        tasks: set[asyncio.Task[Any]] = {keeping}
        if sys.platform != "win32":  # there Ctrl-C ends it anyway
            tasks.add(asyncio.create_task(run_until_signal(_nothing)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not keeping.cancelled():
            raise ElastronError(f"{keeping.result().text}.")

    async def main() -> None:
        await tunnel.start()
        try:
            if not once:
                await stay()
                return
            try:
                tell(await check(tunnel, 2 * timeout_s))
            except TunnelError as error:
                raise ElastronError(f"{error.problem.text}.") from None
        finally:
            await tunnel.stop()

    asyncio.run(main())


async def _nothing() -> None:
    """Tunnels have nothing to finish: whoever is in the middle of a scan knows."""
