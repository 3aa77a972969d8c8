"""Options that the commands for Azure share, and the description they amount to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from elastron.errors import ConfigError

if TYPE_CHECKING:
    from elastron.cloud.azure.description import Aks

_EXTRA = frozenset({"azure", "cryptography", "msal"})


class AksGroup(TyperGroup):
    """Says how to install Azure's packages where they are missing."""

    def invoke(self, ctx: Any) -> object:  # typer brings a click of its own, not to be named
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _EXTRA:
                raise
            raise ConfigError(
                f"The commands for Azure need a package that is not installed: {error.name}. "
                "Install it with pip install 'elastron[azure]'."
            ) from None


HELP = {"help_option_names": ["-h", "--help"]}

Name = Annotated[
    str | None, typer.Option("--name", "-n", metavar="NAME", help="Name of the cluster.")
]
File = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="Description of the cluster (YAML).", dir_okay=False),
]
Group = Annotated[
    str | None,
    typer.Option("--resource-group", "-g", metavar="NAME", help="Its resource group [NAME-rg]."),
]
Subscription = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Name or id of the subscription [that of az account set]."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One value of the description, such as pools.gpu.max=8; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would be done, and do nothing.")]


def describe(
    name: str | None,
    file: Path | None,
    group: str | None = None,
    subscription: str | None = None,
    *,
    sets: list[str] | None = None,
    values: dict[str, Any] | None = None,
) -> Aks:
    """The description that options amount to; they win over the file.

    Args:
        name: of the cluster.
        file: with a description.
        group: the resource group.
        subscription: its id; names are left to who logs in.
        sets: `key=value` each, the key with dots, the value as YAML.
        values: further ones, by dotted key; None: not given.

    Raises:
        ConfigError: no name, or something that Azure would refuse.
    """
    import yaml  # noqa: PLC0415  - see elastron.cli

    from elastron.cloud.azure.description import load_aks, make_aks  # noqa: PLC0415

    tree: dict[str, Any] = {}
    if file is not None:
        tree = yaml.safe_load(load_aks(file).to_yaml()) or {}
    given = {"name": name, "resource_group": group, **(values or {})}
    if subscription is not None and _is_guid(subscription):
        given["subscription"] = subscription
    for key, value in given.items():
        if value is not None:
            _put(tree, key, value)
    for each in sets or ():
        key, equals, text = each.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set wants KEY=VALUE, not {each!r}.")
        try:
            _put(tree, key, yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: the value is not YAML: {error}") from error
    if not tree.get("name"):
        raise ConfigError("Which cluster? Give its name with --name, or a description with --file.")
    return make_aks(tree, "The description" if file is None else str(file))


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = tree
    for part in path:
        place = place.setdefault(part, {})
        if place is None or not isinstance(place, dict):
            raise ConfigError(f"{key}: {part} holds a value, not further keys.")
    place[last] = value


def _is_guid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12]
