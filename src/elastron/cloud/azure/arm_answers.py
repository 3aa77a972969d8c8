"""Reading what Azure Resource Manager answers, and saying what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import ClientAuthenticationError

from elastron.cloud.azure.operation import Reply, provisioning_state
from elastron.cloud.azure.problems import no_token
from elastron.errors import CloudBusyError, CloudError, DeadlineError


def query_words(query: Mapping[str, str]) -> dict[str, str]:
    """OData's own parameters begin with $, which no Python name can."""
    return {("$" + name if name in ("filter", "expand") else name): v for name, v in query.items()}


def parsed(text: bytes) -> Any:
    """JSON; where it is none (a proxy's page), an error that quotes it."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return {"error": {"code": "", "message": text[:300].decode(errors="replace")}}


def as_object(reply: Reply, path: str) -> dict[str, Any]:
    """The answer, which is to be an object.

    Raises:
        CloudBusyError: it is not.
    """
    if not isinstance(reply.body, dict):
        raise CloudBusyError(f"Azure's answer on {short(path)} is no object. Try again.")
    return reply.body


def short(path: str) -> str:
    """The part of a path that tells people something."""
    return path.rsplit("/providers/", 1)[-1].rsplit("?", 1)[0].rstrip("/")


def failure_of(body: Any) -> dict[str, Any]:
    """Why a resource is in a failed state, where it says."""
    properties = body.get("properties", {}) if isinstance(body, dict) else {}
    for name in ("provisioningError", "error"):
        if isinstance(properties.get(name), dict):
            return {"error": properties[name]}
    state = provisioning_state(body)
    told = f"Its state is {state}; the resource's activity log in the portal tells why."
    return {"error": {"code": "ProvisioningFailed", "message": told}}


def unreachable(doing: str, problem: Exception) -> DeadlineError:
    """The error for a request that had no answer."""
    return DeadlineError(
        f"{doing[:1].upper() + doing[1:]}: Azure cannot be reached, or does not answer "
        f"({type(problem).__name__}). Check this machine's network and proxy (HTTPS_PROXY), then "
        "run the command again; it goes on where it stopped."
    )


def not_logged_in(error: ClientAuthenticationError) -> CloudError:
    """What the credential says, in short: it never holds a token."""
    return no_token(str(error.message))
