"""`elastron storage`: the MRD storage server, and a look at what it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elastron.errors import ConfigError, StorageError, StorageUnavailableError

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:3333"
LEVELS = ("debug", "info", "warn", "error", "fatal", "panic", "disabled")

app = typer.Typer(
    help="Run the MRD storage server, or look at what one holds.",
    invoke_without_command=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Url = Annotated[
    str, typer.Option("--url", envvar="ELASTRON_STORAGE_URL", help="The storage server's URL.")
]
Token = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="ELASTRON_STORAGE_TOKEN_FILE",
        help="File with the server's bearer token.",
    ),
]


@app.callback()
def storage(
    ctx: typer.Context,
    *,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Default: 127.0.0.1:3333.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="SQLite file or postgresql:// URL of the metadata.")
    ] = None,
    blobs: Annotated[
        str | None,
        typer.Option(help="Folder, s3:// URL, azure:// URL or Azure connection string."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Every request must carry the token in this file.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file: serve HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM file: clients must show a certificate by these.")
    ] = None,
    allow_insecure: Annotated[
        bool | None,
        typer.Option(help="Listen beyond this machine without token or client certificates."),
    ] = None,
    blob_bytes_max: Annotated[
        str | None, typer.Option(help="Largest blob, such as 2GB. Default: any size.")
    ] = None,
    subject_bytes_max: Annotated[
        str | None, typer.Option(help="Most bytes of one subject's blobs. Default: no quota.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file; its section storage is read.")
    ] = None,
    pretty_print: Annotated[
        bool, typer.Option("--pretty-print", "-p", help="Logs for people instead of JSON.")
    ] = False,
    log_level: Annotated[
        str, typer.Option("--log-level", "-l", help=f"One of {', '.join(LEVELS)}.")
    ] = "info",
    require_parent_pid: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the MRD storage server.

    It keeps noise measurements and the like for reconstructions to come; an unmodified Gadgetron
    can use it. The original server's variables MRD_STORAGE_SERVER_* work as well.
    """
    if ctx.invoked_subcommand is not None:
        return
    if log_level.lower() not in LEVELS:
        raise typer.BadParameter(f"one of {', '.join(LEVELS)}", param_hint="--log-level")
    flags: dict[str, Any] = {
        "database": database,
        "blobs": blobs,
        "token_file": token_file,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "allow_insecure": allow_insecure,
        "blob_bytes_max": blob_bytes_max,
        "subject_bytes_max": subject_bytes_max,
        "require_parent_pid": require_parent_pid,
        **_address(listen),
    }
    _serve(flags, settings, log_level, pretty=pretty_print)


def _serve(flags: dict[str, Any], file: Path | None, log_level: str, *, pretty: bool) -> None:
    import uvloop  # noqa: PLC0415 - slow to import, as are the next

    from elastron.cli.settings import load_settings  # noqa: PLC0415
    from elastron.storage import (  # noqa: PLC0415
        StorageSettings,
        configure_logging,
        original_settings,
        serve,
    )

    given = {name: value for name, value in flags.items() if value is not None}
    for name, value in original_settings(os.environ).items():
        if f"ELASTRON_STORAGE__{name.upper()}" not in os.environ:
            given.setdefault(name, value)
    loaded = load_settings("storage", StorageSettings, file=file, flags=given)
    configure_logging(log_level, pretty=pretty)
    uvloop.run(serve(loaded))


def _address(listen: str | None) -> dict[str, Any]:
    if listen is None:
        return {}
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise typer.BadParameter("write HOST:PORT, such as 127.0.0.1:3333", param_hint="--listen")
    return {"host": host.strip("[]") or None, "port": int(port)}


@app.command("ls")
def list_blobs(
    subject: Annotated[
        str | None, typer.Argument(help="Patient ID, or '$null'. Default: all subjects.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="Only blobs of this name.")] = None,
    device: Annotated[str | None, typer.Option(help="Only this scanner's.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this study's.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this tag.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
    url: Url = DEFAULT_URL,
    token_file: Token = None,
) -> None:
    """List blobs, newest first: which measurements are there, and how old they are."""
    from elastron.cli.blobs import blob_table  # noqa: PLC0415
    from elastron.cli.console import print_json, stderr, stdout  # noqa: PLC0415

    parameters = [("subject", subject)] if subject is not None else [("_all", "true")]
    named = (("name", name), ("device", device), ("session", session))
    parameters += [(key, value) for key, value in named if value is not None]
    for one in tag or ():
        key, equals, value = one.partition("=")
        if not equals:
            raise typer.BadParameter("write NAME=VALUE", param_hint="--tag")
        parameters.append((key, value))
    with _client(url, token_file) as client:
        items, more = _search(client, parameters, limit)
        if as_json:
            print_json(items)
            return
        sizes = [_size(client, item) for item in items]
    stdout().print(blob_table(items, sizes))
    if more:
        stderr().print(f"There are more; --limit shows more than {limit}.")


@app.command("show")
def show_blob(
    blob: Annotated[str, typer.Argument(help="Its URL, or its id as `ls` shows it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the bytes to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
    url: Url = DEFAULT_URL,
    token_file: Token = None,
) -> None:
    """Show all that is known of one blob."""
    from elastron.cli.blobs import blob_details  # noqa: PLC0415
    from elastron.cli.console import print_json, stdout  # noqa: PLC0415

    with _client(url, token_file) as client:
        item = _find(client, blob)
        if as_json:
            print_json(item)
        else:
            stdout().print(blob_details(item, _size(client, item)))
        if output is not None:
            with output.open("wb") as file, client.stream("GET", _path(item, "data")) as answer:
                _checked(answer)
                for chunk in answer.iter_bytes():
                    file.write(chunk)


@app.command("rm")
def remove_blobs(
    blobs: Annotated[list[str], typer.Argument(help="URLs, or ids as `ls` shows them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    token_file: Token = None,
) -> None:
    """Delete blobs, for good."""
    from elastron.cli.console import counted, stderr  # noqa: PLC0415

    with _client(url, token_file) as client:
        items = [_find(client, blob) for blob in blobs]
        if not yes:
            typer.confirm(f"Delete {counted(len(items), 'blob')} for good?", abort=True)
        for item in items:
            _checked(client.delete(_path(item, "location")))
    stderr().print(f"Deleted {counted(len(items), 'blob')}.")


def _client(url: str, token_file: Path | None) -> httpx.Client:
    import logging  # noqa: PLC0415

    import httpx  # noqa: PLC0415

    # httpx logs every URL, and ours hold patient IDs.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    headers = {}
    if token_file is not None:
        headers["authorization"] = f"Bearer {token_file.read_text().split()[0]}"
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is no URL; write it like {DEFAULT_URL}.")

    def refuse(error: httpx.TransportError) -> StorageUnavailableError:
        return StorageUnavailableError(
            f"The storage server at {url} does not answer ({type(error).__name__}). "
            "Is it running? `elastron storage` starts one."
        )

    class Client(httpx.Client):
        def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
            try:
                return super().send(request, **options)
            except httpx.TransportError as error:
                raise refuse(error) from error

    return Client(base_url=url.rstrip("/"), headers=headers, timeout=30.0, trust_env=False)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    answer.read()
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = {404: "There is no such blob, or it has expired."}.get(answer.status_code, "")
    raise StorageError(f"The storage server answers {answer.status_code}. {message}".strip())


def _search(
    client: httpx.Client, parameters: list[tuple[str, str]], limit: int
) -> tuple[list[dict[str, Any]], bool]:
    from urllib.parse import urlencode, urlsplit  # noqa: PLC0415

    items: list[dict[str, Any]] = []
    query = urlencode([*parameters, ("_limit", str(min(limit, 100)))])
    while query and len(items) < limit:
        page = _checked(client.get(f"/v1/blobs?{query}")).json()
        items += page["items"]
        # Only the link's query: behind a proxy its host may be one that we cannot reach.
        query = urlsplit(page.get("nextLink", "")).query
    return items[:limit], bool(query) or len(items) > limit


def _find(client: httpx.Client, blob: str) -> dict[str, Any]:
    from urllib.parse import quote, urlsplit  # noqa: PLC0415

    if blob.startswith(("http://", "https://")):
        path = urlsplit(blob).path.removesuffix("/data")
    else:
        path = f"/v1/blobs/{quote(blob, safe='$')}"
    return _checked(client.get(path)).json()


def _path(item: dict[str, Any], field: str) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415

    return urlsplit(item[field]).path


def _size(client: httpx.Client, item: dict[str, Any]) -> int | None:
    answer = client.head(_path(item, "data"))
    return int(answer.headers["content-length"]) if answer.is_success else None


def mrd_storage_server() -> None:
    """The command `mrd-storage-server`: under this name a Gadgetron starts its own server."""
    from elastron.cli.console import show_error  # noqa: PLC0415
    from elastron.errors import ElastronError  # noqa: PLC0415

    try:
        app()
    except ElastronError as error:
        show_error(str(error))
        raise SystemExit(1) from None
