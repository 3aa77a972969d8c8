"""The same resources as a template of Azure Resource Manager, for those who deploy by templates.

Deployed with `az deployment group create`: the resource group itself is made before. What the
live path asks Azure for, a template computes by expressions or takes as a parameter.

Format: "Understand the structure and syntax of ARM templates".
"""

from __future__ import annotations

from typing import Any

from elastron.cloud.azure.build import api_version, group_id
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_services import Access
from elastron.cloud.azure.resource import Facts, Json, Later, Resource
from elastron.cloud.azure.resources import resources

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"

# Stand for what is only known where the template is deployed.
_FACTS = Facts(
    subscription_id="00000000-0000-0000-0000-000000000000",
    tenant_id="[subscription().tenantId]",
    # Without a version Azure takes its default.
    kubernetes_version=(
        "[if(empty(parameters('kubernetesVersion')), null(), parameters('kubernetesVersion'))]"
    ),
    user_object_id="[parameters('administratorObjectId')]",
)
_EXPRESSIONS = frozenset({_FACTS.tenant_id, _FACTS.kubernetes_version, str(_FACTS.user_object_id)})
_DEPLOYMENTS = "Microsoft.Resources/deployments"


def export_template(aks: Aks, *, kubernetes_version: str | None = None) -> dict[str, Any]:
    """The template, as JSON values.

    Args:
        aks: the description.
        kubernetes_version: default of the parameter kubernetesVersion, where the description
            names no version. None: the one that Azure calls its default.
    """
    wanted = resources(aks, _FACTS)
    by_key = {resource.key: resource for resource in wanted}
    writer = _Writer(aks, by_key)
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "metadata": {"description": f"Cluster {aks.name} of Elastron on Azure"},
        "parameters": _parameters(aks, kubernetes_version),
        "resources": [writer.written(each) for each in wanted if each.key != "group"],
        "outputs": {
            name: {"type": "string", "value": f"[{writer.expression(later)}]"}
            for name, later in {
                "oidcIssuer": Later("cluster", "properties.oidcIssuerProfile.issuerURL"),
                "storageClientId": Later("identity/storage", "properties.clientId"),
            }.items()
        },
    }


def _parameters(aks: Aks, kubernetes_version: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if aks.kubernetes_version is None:
        made["kubernetesVersion"] = {
            "type": "string",
            "defaultValue": kubernetes_version or "",
            "metadata": {"description": "Such as 1.34. Empty: what Azure calls its default."},
        }
    if aks.access is Access.ENTRA:
        made["administratorObjectId"] = {
            "type": "string",
            "metadata": {"description": "Object id of the user who may do all in the cluster."},
        }
    return made


class _Writer:
    """Turns resources into a template's.

    Args:
        aks: the description.
        by_key: all resources.
    """

    def __init__(self, aks: Aks, by_key: dict[str, Resource]) -> None:
        self._aks = aks
        self._by_key = by_key
        self._group = f"{group_id(aks, _FACTS)}/"
        self._subscription = f"/subscriptions/{_FACTS.subscription_id}/"

    def written(self, resource: Resource) -> dict[str, Any]:
        """One resource; in a deployment of its own where it is in another group."""
        about: dict[str, Any] = {
            "type": resource.type,
            "apiVersion": resource.api_version,
            "name": self._name(resource),
        }
        if resource.scope_id is not None:
            about["scope"] = self._text(resource.scope_id)
        depends_on = [
            f"[{self._own_id(self._by_key[key])}]" for key in resource.depends_on if key != "group"
        ]
        body = self._values(resource.body)
        if self._is_here(resource):
            return {**about, **body, "dependsOn": depends_on}
        _, _, subscription, _, group, *_ = resource.id.split("/")
        return {
            "type": _DEPLOYMENTS,
            "apiVersion": api_version(_DEPLOYMENTS),
            "name": self._deployment_name(resource),
            "subscriptionId": subscription,
            "resourceGroup": group,
            "dependsOn": depends_on,
            "properties": {
                "mode": "Incremental",
                "template": {
                    "$schema": SCHEMA,
                    "contentVersion": "1.0.0.0",
                    "resources": [{**about, **body}],
                },
            },
        }

    def expression(self, later: Later) -> str:
        """What gives the value where the template is deployed, without brackets."""
        owner = self._by_key[later.key]
        if later.path == "id":
            value = self._own_id(owner)
        else:
            # reference() answers with the resource's `properties`.
            path = later.path.removeprefix("properties.")
            value = f"reference({self._own_id(owner)}, {_quoted(owner.api_version)}).{path}"
        if not later.before and not later.after:
            return value
        parts = [_quoted(later.before), value, _quoted(later.after)]
        return f"concat({', '.join(part for part in parts if part != _quoted(''))})"

    def _values(self, body: Json) -> Any:
        if isinstance(body, Later):
            return f"[{self.expression(body)}]"
        if isinstance(body, dict):
            return {self._text(key): self._values(value) for key, value in body.items()}
        if isinstance(body, list):
            return [self._values(value) for value in body]
        return self._text(body) if isinstance(body, str) else body

    def _text(self, text: str) -> str:
        """A text as it is written: ids by expressions, so that any subscription will do."""
        if text in _EXPRESSIONS:
            return text
        if text.startswith(self._subscription):
            return f"[{self._id(text)}]"
        # A text in brackets would be taken for an expression.
        return f"[{text}" if text.startswith("[") and text.endswith("]") else text

    def _id(self, path: str) -> str:
        """The expression of an id in this subscription."""
        inside = path.removeprefix(self._group)
        function = "resourceId" if inside != path else "subscriptionResourceId"
        _, provider, *rest = inside.removeprefix(self._subscription).split("/")
        kind = "/".join([provider, *rest[::2]])
        return f"{function}({', '.join(_quoted(part) for part in [kind, *rest[1::2]])})"

    def _own_id(self, resource: Resource) -> str:
        if not self._is_here(resource):
            names = [_quoted(_DEPLOYMENTS), _quoted(self._deployment_name(resource))]
            return f"resourceId({', '.join(names)})"
        if resource.scope_id is None:
            return self._id(resource.id)
        name = self._name(resource)
        as_argument = name[1:-1] if name.startswith("[") else _quoted(name)
        scope = self._id(resource.scope_id)
        return f"extensionResourceId({scope}, {_quoted(resource.type)}, {as_argument})"

    def _name(self, resource: Resource) -> str:
        if resource.type != "Microsoft.Authorization/roleAssignments":
            return resource.name
        # As `role` of build.py makes it.
        own = f"{_quoted(self._aks.name)}, {_quoted(resource.key)}"
        return f"[guid(subscription().subscriptionId, resourceGroup().name, {own})]"

    def _deployment_name(self, resource: Resource) -> str:
        return f"{self._aks.name}-{resource.key.replace('/', '-')}"[:64]

    def _is_here(self, resource: Resource) -> bool:
        return resource.id.startswith(self._group)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
