"""What only Azure knows, asked before anything is planned."""

from __future__ import annotations

from typing import Any

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.build import api_version
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.resource import Facts
from elastron.cloud.azure.session import Login
from elastron.errors import CloudError, NotOfferedError


def ask_facts(aks: Aks, arm: Arm, login: Login) -> Facts:
    """Facts for a description.

    The version is empty where Azure does not tell it, as before the subscription is registered.

    Raises:
        NotOfferedError: the location does not offer the Kubernetes version asked for, or none.
    """
    path = (
        f"/subscriptions/{login.subscription_id}/providers/Microsoft.ContainerService"
        f"/locations/{aks.location}/kubernetesVersions"
    )
    try:
        answer = arm.get(path, api_version("Microsoft.ContainerService"))
    except CloudError as error:
        if error.code != "NoRegisteredProviderFound":
            raise
        answer = None  # no such location, which is told with all else that is wrong
    version = aks.kubernetes_version or ""
    if answer is not None:
        version = choose_version(answer, aks.kubernetes_version, aks.location)
    return Facts(
        subscription_id=login.subscription_id,
        tenant_id=login.tenant_id,
        kubernetes_version=version,
        user_object_id=login.object_id,
        user_kind=login.kind,
    )


def choose_version(answer: dict[str, Any], wanted: str | None, location: str) -> str:
    """The version of a new cluster: the one wanted, else Azure's default, else the newest.

    Args:
        answer: to `kubernetesVersions`.
        wanted: minor version or patch.
        location: for messages.

    Raises:
        NotOfferedError: it is not to be had there.
    """
    offered = {
        one["version"]: one
        for one in answer.get("values") or []
        if "KubernetesOfficial" in one.get("capabilities", {}).get("supportPlan", ())
    }
    if wanted is not None:
        patches = {patch for one in offered.values() for patch in one.get("patchVersions", {})}
        if wanted in offered or wanted in patches:
            return wanted
        known = ", ".join(sorted(offered, key=_numbers)) or "none"
        raise NotOfferedError(
            f"{location} does not offer Kubernetes {wanted}; it offers {known}. Choose one of "
            "these, or leave kubernetes_version out."
        )
    for version, one in offered.items():
        if one.get("isDefault"):
            return version
    settled = [version for version, one in offered.items() if not one.get("isPreview")]
    if not settled:
        raise NotOfferedError(
            f"{location} offers no version of Kubernetes; choose another location."
        )
    return max(settled, key=_numbers)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
