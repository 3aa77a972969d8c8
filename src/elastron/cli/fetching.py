"""What `elastron fetch` does."""

from __future__ import annotations

from dataclasses import asdict

from elastron.cli.console import as_seconds, counted, print_json
from elastron.cli.gateway_admin import admin_url
from elastron.cli.receiving import Hooks, Target, receive
from elastron.cli.settings import ClientSettings
from elastron.cli.transfer_display import Display
from elastron.client import Result
from elastron.client.fetch import TIMEOUT_S, Waiting, fetch


def fetch_images(
    client: ClientSettings, ticket: str, target: Target, *, wait: bool, json: bool, quiet: bool
) -> bool:
    """Fetch them into the target's file; True if all went well."""
    url = admin_url(client)
    display = Display(shown=not (json or quiet), quiet=quiet)
    with display, display.bar(target.scan) as bar:

        def exchange(hooks: Hooks) -> Result:
            return fetch(
                url,
                ticket,
                wait=wait,
                on_image=hooks.on_image,
                on_other=hooks.on_other,
                on_waiting=lambda waiting: bar.say(_words(waiting)),
                on_bytes=bar.received,
                timeout_s=client.timeout_s or TIMEOUT_S,
            )

        report = receive(target, exchange, bar.image)
        display.done(report)
    if json:
        print_json({"gateway": url, **asdict(report)})
    return report.ok


def _words(waiting: Waiting) -> str:
    words = [waiting.state]
    if waiting.queue_position is not None:
        words.append(f"number {waiting.queue_position} in the queue")
    if waiting.images:
        words.append(f"{counted(waiting.images, 'image')} so far")
    words.append(as_seconds(waiting.seconds))
    return " · ".join(words)
