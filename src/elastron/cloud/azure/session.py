"""Who is logged in to Azure, and which subscription is meant."""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elastron.cloud.azure.arm import PUBLIC, Arm
from elastron.errors import ConfigError, LoginError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import TokenCredential

_SUBSCRIPTIONS_VERSION = "2022-12-01"
_PROFILE_BYTES_MAX = 4 << 20
#: The azure-cli starts a Python of its own to give a token.
_CREDENTIAL_S = 30


@dataclass(frozen=True, slots=True)
class Login:
    """Who is logged in, and where.

    Attributes:
        subscription_id: a GUID.
        subscription_name: for people.
        tenant_id: a GUID, of the Entra tenant that the subscription trusts.
        object_id: of who is logged in, in that tenant; None: the token does not tell.
        kind: User or ServicePrincipal.
        who: for people: a user's name, or an application's id.
    """

    subscription_id: str
    subscription_name: str
    tenant_id: str
    object_id: str | None = None
    kind: str = "User"
    who: str = ""


def default_credential() -> TokenCredential:
    """Whatever this machine has: environment, workload or managed identity, azure-cli, ...

    Raises:
        ConfigError: the extra `azure` is not installed.
    """
    try:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("Azure needs more packages: pip install 'elastron[azure]'.") from error
    return DefaultAzureCredential(process_timeout=_CREDENTIAL_S)


def log_in(
    arm: Arm,
    credential: TokenCredential,
    subscription: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Login:
    """Find out who is logged in, and choose the subscription.

    Args:
        arm: asked for the subscriptions that can be seen.
        credential: the same as `arm` has.
        subscription: id or name; None: AZURE_SUBSCRIPTION_ID, the azure-cli's choice, or the only
            one there is.
        environment: in place of the process's.

    Raises:
        LoginError: nobody is logged in, or the login sees no such subscription.
    """
    environment = os.environ if environment is None else environment
    seen = [
        one
        for one in arm.list("/subscriptions", _SUBSCRIPTIONS_VERSION)
        if one.get("state", "Enabled") in ("Enabled", "Warned", "PastDue")
    ]
    chosen = _choose(seen, subscription, environment)
    claims = _claims(credential.get_token(f"{PUBLIC}/.default").token)
    application = claims.get("idtyp") == "app"
    return Login(
        subscription_id=chosen["subscriptionId"],
        subscription_name=chosen.get("displayName", ""),
        tenant_id=chosen.get("tenantId") or claims.get("tid", ""),
        object_id=claims.get("oid"),
        kind="ServicePrincipal" if application else "User",
        who=claims.get("appid" if application else "upn") or claims.get("unique_name", ""),
    )


def _choose(
    seen: list[dict[str, Any]], wanted: str | None, environment: Mapping[str, str]
) -> dict[str, Any]:
    if not seen:
        raise LoginError("The login sees no subscription. Log in as somebody who does: az login.")
    listed = ", ".join(
        sorted(f"{one.get('displayName')} ({one['subscriptionId']})" for one in seen)
    )
    wanted = wanted or environment.get("AZURE_SUBSCRIPTION_ID")
    if wanted is not None:
        fit = [
            one
            for one in seen
            if wanted.lower() in (one["subscriptionId"].lower(), one.get("displayName", "").lower())
        ]
        if len(fit) == 1:
            return fit[0]
        count = "several subscriptions" if fit else "no subscription"
        raise LoginError(
            f"The login sees {count} called {wanted!r}; it sees {listed}. Give the id of one of "
            "these, or log in as somebody else: az login."
        )
    if len(seen) == 1:
        return seen[0]
    default = _of_azure_cli(environment)
    for one in seen:
        if default is not None and one["subscriptionId"].lower() == default.lower():
            return one
    raise LoginError(
        f"Several subscriptions can be meant: {listed}. Say which: --subscription, "
        "AZURE_SUBSCRIPTION_ID, or az account set."
    )


def _of_azure_cli(environment: Mapping[str, str]) -> str | None:
    """The subscription that `az account set` chose."""
    folder = environment.get("AZURE_CONFIG_DIR")
    path = (Path(folder) if folder else Path.home() / ".azure") / "azureProfile.json"
    try:
        with path.open("rb") as file:
            profile = json.loads(file.read(_PROFILE_BYTES_MAX).decode("utf-8-sig"))
        for one in profile["subscriptions"]:
            if one.get("isDefault"):
                return str(one["id"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def _claims(token: str) -> dict[str, Any]:
    """What a token says of its owner. Azure checks it; here it only names somebody."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(payload)
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
