"""What the commands for Azure read and write, besides changing anything."""

from __future__ import annotations

import datetime
import json as json_text
import sys
from pathlib import Path
from typing import Any

from elastron.cli.aks_running import opened
from elastron.cli.console import print_json, show_remark, stderr, stdout
from elastron.cloud.azure.description import Aks
from elastron.errors import ConfigError


def show_status(aks: Aks, *, subscription: str | None, json: bool) -> bool:
    """How a cluster is.

    Returns:
        Whether all of it works.
    """
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.status import look  # noqa: PLC0415

        found = look(engine, aks)
    if json:
        print_json(found.to_json())
    else:
        from elastron.cli.aks_tables import status_tables  # noqa: PLC0415

        for each in status_tables(found):
            stdout().print(each, soft_wrap=True)
    return found.well


def fetch_credentials(
    aks: Aks,
    *,
    subscription: str | None,
    kubeconfig: Path | None,
    admin: bool,
    overwrite: bool,
    stdout: bool,
) -> None:
    """Credentials for kubectl, merged into a kubeconfig or printed."""
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.kubeconfig import default_path, fetch, merge  # noqa: PLC0415

        path = (
            f"/subscriptions/{engine.login.subscription_id}/resourceGroups/{aks.group}"
            f"/providers/Microsoft.ContainerService/managedClusters/{aks.name}"
        )
        text = fetch(engine.arm, path, admin=admin)
    if stdout:
        sys.stdout.write(text)
        return
    where = kubeconfig or default_path()
    merge(where, text, overwrite=overwrite)
    stderr().print(f"{aks.name} is the current context of {where}.", markup=False)


def write_export(aks: Aks, form: str, *, defaults: bool, output: Path | None) -> None:
    """The description as an ARM template or as YAML.

    Raises:
        ConfigError: there is no such form, or the file cannot be written.
    """
    if form == "yaml":
        text = aks.to_yaml(defaults=defaults)
    elif form == "arm":
        from elastron.cloud.azure.export import export_template  # noqa: PLC0415

        template: dict[str, Any] = export_template(aks)
        text = json_text.dumps(template, indent=2) + "\n"
    else:
        raise ConfigError(f"--as takes arm or yaml, not {form!r}.")
    _write(text, output)


def fetch_table(aks: Aks, *, currency: str, output: Path | None) -> None:
    """Today's public prices, as a table that `aks up --prices` takes."""
    from elastron.cloud.azure.prices import load_prices, table_json  # noqa: PLC0415
    from elastron.cloud.azure.retail_prices import fetch_prices, wanted_prices  # noqa: PLC0415

    with stderr().status("Asking Azure's public price list"):
        table, missing = fetch_prices(
            wanted_prices(aks, load_prices().prices),
            location=aks.location,
            currency=currency.upper(),
            today=datetime.datetime.now(datetime.UTC).date(),
        )
    for key in missing:
        show_remark(f"No public price of {key} in {aks.location}.")
    _write(table_json(table), output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.") from error
    stderr().print(f"{output} is written.", markup=False)
