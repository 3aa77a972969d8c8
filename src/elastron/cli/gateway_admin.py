"""Asking a gateway's admin server."""

from __future__ import annotations

from typing import Any

import httpx
import typer

from elastron.cli.settings import ClientSettings
from elastron.errors import ConfigError, ConnectError, DeadlineError, RemoteError
from elastron.fleet.local.state import find_running

DEFAULT_URL = "http://127.0.0.1:9080"

_TIMEOUT_S = 10.0


def admin_url(client: ClientSettings) -> str:
    """URL of the gateway's admin server: as set, of this machine's fleet, or the default."""
    given = client.gateway
    if given is None:
        try:
            running = find_running()
        except ConfigError:
            running = None
        return DEFAULT_URL if running is None or running.admin is None else running.admin
    if "://" not in given:
        given = f"http://{given}"
    try:
        url = httpx.URL(given)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{given!r} is no URL: {error}", param_hint="-g") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise typer.BadParameter(
            f"{given!r} is not HOST:PORT or a URL, e.g. 127.0.0.1:9080", param_hint="-g"
        )
    return given.rstrip("/")


class GatewayAdmin:
    """A gateway's admin server.

    Args:
        url: of it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Past any proxy: admin servers are near.
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> GatewayAdmin:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """What a page tells.

        Raises:
            ConnectError: nobody answers.
            DeadlineError: it is silent.
            RemoteError: an error, or what no gateway says.
        """
        try:
            answer = self._http.get(path)
        except httpx.TimeoutException as error:
            raise DeadlineError(f"{self.url} did not answer for {_TIMEOUT_S:g} s.") from error
        except httpx.TransportError as error:
            raise ConnectError(
                f"No gateway's admin server answers at {self.url} ({error}). Is it running, and is "
                "the address that of its --admin?"
            ) from error
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.is_success and isinstance(told, dict):
            return told
        words = told.get("error") if isinstance(told, dict) else None
        raise RemoteError(
            f"{self.url}{path}: {words or f'HTTP {answer.status_code}, not what a gateway says'}."
        )
