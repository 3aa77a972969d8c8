"""`elastron access`: keys for the ways in from outside."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elastron.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

    from elastron.access.keyring import Keyring

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    help="Make, change and revoke the keys of the ways in.",
    no_args_is_help=True,
    add_completion=False,
    context_settings=_HELP,
)
psk = typer.Typer(
    help="Pre-shared keys, for stunnel and the gateway's own TLS listener.",
    no_args_is_help=True,
    context_settings=_HELP,
)
app.add_typer(psk, name="psk")

KeyFileOption = Annotated[
    Path, typer.Option("--file", "-f", help="File with the keys, as stunnel reads it.")
]
Site = Annotated[str, typer.Argument(help="Name of the site.")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--secret",
        metavar="NAME",
        help="Print a Kubernetes Secret of this name with the keys, for kubectl apply -f -.",
    ),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the Secret.")
]

KEYS = Path("stunnel.secrets")
#: The unit behind a number of time.
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


# --- pre-shared keys ----------------------------------------------------------------------------


@psk.command()
def create(
    *,
    clients: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Keys for client1 … clientN [10, in a new file]."),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="SITE", help="A key for this site.")
    ] = None,
    file: KeyFileOption = KEYS,
) -> None:
    """Make the keys that are missing; existing ones stay as they are."""
    from elastron.access.keyring import CLIENTS, KeyFile, client_names  # noqa: PLC0415

    with KeyFile(file).change(missing_ok=True) as change:
        sites = list(name or ())
        if clients is not None:
            sites += client_names(clients)
        elif not sites and not change.ring.keys:
            sites = client_names(CLIENTS)
        change.ring, fresh = change.ring.create(sites)
    _say(f"{file}: {len(change.ring.keys)} keys, {len(fresh)} of them new")


@psk.command("ls")
def list_keys(*, file: KeyFileOption = KEYS, json: JsonOption = False) -> None:
    """Show whose keys there are; never the keys."""
    from elastron.access.keyring import KeyFile  # noqa: PLC0415

    rows = list(_described(KeyFile(file).load()))
    if json:
        from elastron.cli.console import print_json  # noqa: PLC0415

        print_json(rows)
        return
    from rich.table import Table  # noqa: PLC0415

    from elastron.cli.console import stdout  # noqa: PLC0415

    table = Table("site", "identity", "state", "fingerprint", box=None, pad_edge=False)
    for row in rows:
        state = row["state"] if row["end"] is None else f"{row['state']} {row['end']}"
        table.add_row(row["site"], row["identity"], state, row["fingerprint"])
    stdout().print(table)


@psk.command()
def add(
    site: Site,
    *,
    file: KeyFileOption = KEYS,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Take the key in this file instead of a new one; '-' is stdin."),
    ] = None,
) -> None:
    """Make a key for one more site."""
    from elastron.access.files import read_small  # noqa: PLC0415
    from elastron.access.keyring import KeyFile  # noqa: PLC0415

    secret = None
    if key_file is not None:  # never as an argument: every user of the machine sees those
        text = sys.stdin.read(4096) if str(key_file) == "-" else read_small(key_file)
        secret = text.strip()
    with KeyFile(file).change(missing_ok=True) as change:
        change.ring = change.ring.add(site, secret)
    _say(f"{site} has a key in {file}")


@psk.command()
def rotate(
    site: Site,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the old key stays good: 14d, 12h, 30m, 0s.")
    ] = "14d",
    file: KeyFileOption = KEYS,
) -> None:
    """Give a site a new key; its old one stays good for a while.

    The gateway keeps the end by itself. A stunnel server does not know it: run
    'elastron access psk prune' then, and bring the secret up to date.
    """
    from datetime import UTC, datetime  # noqa: PLC0415

    from elastron.access.keyring import KeyFile  # noqa: PLC0415

    end = datetime.now(UTC).replace(microsecond=0) + parse_duration(overlap)
    with KeyFile(file).change() as change:
        change.ring, identity = change.ring.rotate(site, end)
        change.ring, _ = change.ring.prune(datetime.now(UTC))
    _say(f"{site}: the new key is {identity}; older ones end {end.isoformat()}")


@psk.command()
def revoke(
    name: Annotated[str, typer.Argument(help="A site, or an identity such as site@2.")],
    *,
    file: KeyFileOption = KEYS,
) -> None:
    """Take keys away at once."""
    from elastron.access.keyring import KeyFile  # noqa: PLC0415

    with KeyFile(file).change() as change:
        change.ring, gone = change.ring.revoke(name)
    _say(f"{file}: {', '.join(gone)} is no longer taken; connections that run go on")


@psk.command()
def prune(*, file: KeyFileOption = KEYS) -> None:
    """Take away the keys whose overlap has passed."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from elastron.access.keyring import KeyFile  # noqa: PLC0415

    with KeyFile(file).change() as change:
        change.ring, gone = change.ring.prune(datetime.now(UTC))
    _say(f"{file}: {', '.join(gone) or 'nothing'} is past its end")


@psk.command()
def secret(
    *,
    file: KeyFileOption = KEYS,
    name: Annotated[str, typer.Option(help="Name of the Secret.")] = "stunnel",
    namespace: NamespaceOption = None,
    update: Annotated[
        Path | None,
        typer.Option(
            help="Bring this manifest up to date (as 'kubectl get secret NAME -o yaml' prints "
            "it; '-' is stdin): its labels and other entries stay."
        ),
    ] = None,
) -> None:
    """Print the keys as a Kubernetes Secret, for kubectl apply -f -."""
    from elastron.access.files import read_small  # noqa: PLC0415
    from elastron.access.keyring import KeyFile  # noqa: PLC0415
    from elastron.access.manifest import secret_manifest  # noqa: PLC0415
    from elastron.service.psk import render_keys, render_retiring  # noqa: PLC0415

    ring = KeyFile(file).load()
    if not ring.keys:
        raise ConfigError(f"{file} has no key; make some: elastron access psk create.")
    existing = None
    if update is not None:
        existing = sys.stdin.read() if str(update) == "-" else read_small(update)
    files = {
        "stunnel.secrets": render_keys(ring.keys.values()).encode(),
        # Always there, so that an end that is lifted does not stay in the cluster.
        "stunnel.secrets.retiring": render_retiring(ring.ends).encode(),
    }
    manifest = secret_manifest(name, files, namespace=namespace, existing=existing)
    sys.stdout.write(manifest)


@psk.command()
def package(
    site: Site,
    *,
    to: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the site's stunnel connects to.")
    ],
    accept: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the site's own clients connect to.")
    ] = "127.0.0.1:9002",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The zip file [SITE.zip].")
    ] = None,
    file: KeyFileOption = KEYS,
) -> None:
    """Pack all a site needs: its newest key, a stunnel.conf, a page of instructions."""
    from elastron.access.client_package import client_package  # noqa: PLC0415
    from elastron.access.files import write_secret  # noqa: PLC0415
    from elastron.access.keyring import KeyFile  # noqa: PLC0415

    key = KeyFile(file).load().current(site)
    output = output or Path(f"{site}.zip")
    write_secret(output, client_package(key, connect=to, accept=accept))
    _say(f"{output} holds the key of {key.identity}: hand it over in person or encrypted")


def _described(ring: Keyring) -> Iterable[dict[str, str | None]]:
    import hashlib  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from elastron.service.psk import tenant_name  # noqa: PLC0415

    now = datetime.now(UTC)
    for identity, key in ring.keys.items():
        end = ring.ends.get(identity)
        state = "good" if end is None else "ends" if end > now else "ended"
        yield {
            "site": tenant_name(identity),
            "identity": identity,
            "state": state,
            "end": None if end is None else end.isoformat(),
            # Tells two keys apart; 32 bits of a hash help nobody to guess 192 random ones.
            "fingerprint": hashlib.sha256(key.key).hexdigest()[:8],
        }


# --- SSH ----------------------------------------------------------------------------------------


@app.command("ssh-keys")
def ssh_keys(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[rsa] [ecdsa] [ed25519]", help="Which [all].")
    ] = None,
    *,
    folder: Annotated[
        Path, typer.Option(help="Where they lie.", exists=True, file_okay=False)
    ] = Path(),
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Replace existing ones; the old stay as *.old.")
    ] = False,
    known_hosts: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]", help="Print the lines for the clients' known_hosts file."
        ),
    ] = None,
    secret: SecretOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Make the SSH jump server's host keys that are missing; existing ones stay."""
    from elastron.access import host_keys  # noqa: PLC0415
    from elastron.access.manifest import secret_manifest  # noqa: PLC0415

    made = host_keys.make_host_keys(folder, kinds or tuple(host_keys.KINDS), rotate=rotate)
    for key in made:
        _say(f"{key.path}: {key.public.fingerprint}{' (new)' if key.fresh else ''}")
    if known_hosts is not None:
        from elastron.client import parse_address  # noqa: PLC0415

        try:
            host, port = parse_address(known_hosts, 22)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--known-hosts") from error
        sys.stdout.write(host_keys.known_hosts(made, host, port))
    if secret is not None:
        files = {}
        for key in made:
            for path in (key.path, key.path.with_name(f"{key.path.name}.pub")):
                files[path.name] = path.read_bytes()
        sys.stdout.write(secret_manifest(secret, files, namespace=namespace))


@app.command()
def authorize(
    site: Annotated[
        str | None, typer.Argument(help="Login name of the site; 'gadgetron' is always there.")
    ] = None,
    key: Annotated[Path | None, typer.Argument(metavar="KEY.pub", help="Its public key.")] = None,
    *,
    folder: Annotated[Path, typer.Option(help="Folder with a file for each site.")] = Path(
        "sshkey"
    ),
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the key away; without KEY.pub all of the site's.")
    ] = False,
    secret: SecretOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Let a site's SSH key through the jump server; without arguments show who may come."""
    from elastron.access import authorized_keys  # noqa: PLC0415
    from elastron.access.files import read_small  # noqa: PLC0415
    from elastron.access.manifest import secret_manifest  # noqa: PLC0415
    from elastron.access.public_key import parse_public_key  # noqa: PLC0415

    public = None
    if key is not None:
        try:
            public = parse_public_key(read_small(key))
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}.") from None
    if site is not None and remove:
        gone = authorized_keys.revoke(folder, site, public)
        _say(f"{site}: {gone} of its keys taken away; connections that run go on")
    elif site is not None and public is not None:
        new = authorized_keys.authorize(folder, site, public)
        _say(f"{site}: {public.fingerprint} {'may come in' if new else 'was let in already'}")
    elif site is not None:
        raise ConfigError(f"Which key of {site}? Give its .pub file.")
    elif secret is None:
        for each, keys in authorized_keys.sites(folder).items():
            for found in keys:
                sys.stdout.write(f"{each} {found.kind} {found.fingerprint} {found.comment}\n")
    if secret is not None:
        authorized_keys.sites(folder)  # whatever else lies there must not go to the cluster
        paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        files = {path.name: path.read_bytes() for path in paths}
        sys.stdout.write(secret_manifest(secret, files, namespace=namespace))


# --- both ---------------------------------------------------------------------------------------


def parse_duration(text: str) -> timedelta:
    """Read `14d`, `12h`, `30m`, `10s` or `2w`.

    Raises:
        ConfigError: something else.
    """
    from datetime import timedelta  # noqa: PLC0415

    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not number.isdecimal() or len(number) > 6:
        raise ConfigError(f"{text!r} is no duration; say 14d, 12h, 30m, 10s or 2w.")
    return timedelta(seconds=int(number) * _UNITS_S[unit])


def _say(text: str) -> None:
    from elastron.cli.console import stderr  # noqa: PLC0415

    stderr().print(text, soft_wrap=True, markup=False)
