"""Holds an ARM body against the model classes of Azure's own Python packages, strictly.

Two generations of these packages are about: newer ones describe fields by `_attr_to_rest_field`,
older ones by `_attribute_map`, which folds `properties` into the resource.
"""

from __future__ import annotations

import importlib
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

# The model of each type's PUT body, and the package that carries it.
MODELS = {
    "Microsoft.Resources/resourceGroups": ("resource.resources", "ResourceGroup"),
    "Microsoft.Authorization/roleAssignments": (
        "authorization.v2022_04_01",
        "RoleAssignmentCreateParameters",
    ),
    "Microsoft.ContainerRegistry/registries": ("containerregistry", "Registry"),
    "Microsoft.ContainerService/managedClusters": ("containerservice", "ManagedCluster"),
    "Microsoft.ContainerService/managedClusters/agentPools": ("containerservice", "AgentPool"),
    "Microsoft.ContainerService/managedClusters/maintenanceConfigurations": (
        "containerservice",
        "MaintenanceConfiguration",
    ),
    "Microsoft.Insights/dataCollectionEndpoints": ("monitor", "DataCollectionEndpointResource"),
    "Microsoft.Insights/dataCollectionRules": ("monitor", "DataCollectionRuleResource"),
    "Microsoft.Insights/dataCollectionRuleAssociations": (
        "monitor",
        "DataCollectionRuleAssociationProxyOnlyResource",
    ),
    "Microsoft.Monitor/accounts": ("monitor", "AzureMonitorWorkspaceResource"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi.v2024_11_30", "Identity"),
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": (
        "msi.v2024_11_30",
        "FederatedIdentityCredential",
    ),
    "Microsoft.Network/publicIPAddresses": ("network", "PublicIPAddress"),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork"),
    "Microsoft.Network/virtualNetworkGateways": ("network", "VirtualNetworkGateway"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace"),
    "Microsoft.Storage/storageAccounts": ("storage", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage", "BlobContainer"),
}


def problems(kind: str, body: Any) -> list[str]:
    """What the published model of a type has against a body; nothing if all is well."""
    package, name = MODELS[kind]
    models = importlib.import_module(f"azure.mgmt.{package}.models")
    return list(_check(getattr(models, name), models, body, kind))


def _check(model: Any, models: Any, body: Any, path: str) -> Iterator[str]:
    if not isinstance(body, dict):
        yield f"{path}: {body!r} is no table"
    elif hasattr(model, "_attribute_map"):
        yield from _check_old(model, models, body, path)
    else:
        yield from _check_new(model, models, body, path)


def _check_new(model: Any, models: Any, body: dict[str, Any], path: str) -> Iterator[str]:
    model({})  # fields are only described once a first one was made
    names = typing.get_type_hints(model, localns={"_models": models, "_types": None})
    fields = {f._rest_name: (key, f) for key, f in model._attr_to_rest_field.items()}
    for key, value in body.items():
        if key not in fields:
            yield f"{path}.{key}: unknown"
            continue
        attribute, field = fields[key]
        if field._visibility == ["read"]:
            # Items of lists are told apart by their name or id, which may be sent.
            if key not in {"name", "id"}:
                yield f"{path}.{key}: read-only"
            continue
        yield from _check_value(names[attribute], models, value, f"{path}.{key}")
    for key, (attribute, field) in fields.items():
        optional = type(None) in typing.get_args(names[attribute])
        if not optional and key not in body and field._visibility != ["read"]:
            yield f"{path}.{key}: missing"


def _check_value(kind: Any, models: Any, value: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        choices = [each for each in arguments if each is not type(None)]
        enums = [each for each in choices if isinstance(each, type) and issubclass(each, Enum)]
        if enums:
            known = {str(item.value).casefold() for each in enums for item in each}
            if str(value).casefold() not in known:
                yield f"{path}: {value!r} is none of {sorted(known)}"
            return
        yield from _check_value(choices[0], models, value, path)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for index, item in enumerate(value):
            yield from _check_value(arguments[0], models, item, f"{path}[{index}]")
    elif origin is dict:
        for key, item in value.items():
            yield from _check_value(arguments[1], models, item, f"{path}.{key}")
    elif isinstance(kind, type) and hasattr(kind, "_is_model"):
        yield from _check(kind, models, value, path)
    elif kind in {str, int, bool} and (type(value) is not kind):
        yield f"{path}: {value!r} is no {kind.__name__}"
    elif kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield f"{path}: {value!r} is no number"


def _check_old(model: Any, models: Any, body: dict[str, Any], path: str) -> Iterator[str]:
    fields = {about["key"]: (key, about["type"]) for key, about in model._attribute_map.items()}
    flattened = {f"properties.{key}": value for key, value in body.get("properties", {}).items()}
    whole = any(key == "properties" for key in fields)
    given = body if whole else {k: v for k, v in body.items() if k != "properties"} | flattened
    rules = model._validation
    for key, value in given.items():
        if key not in fields:
            yield f"{path}.{key}: unknown"
            continue
        attribute, kind = fields[key]
        if rules.get(attribute, {}).get("readonly"):
            yield f"{path}.{key}: read-only"
            continue
        yield from _check_old_value(kind, models, value, f"{path}.{key}")
    for key, (attribute, _) in fields.items():
        if rules.get(attribute, {}).get("required") and key not in given:
            yield f"{path}.{key}: missing"


def _check_old_value(kind: str, models: Any, value: Any, path: str) -> Iterator[str]:
    if kind.startswith("["):
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for index, item in enumerate(value):
            yield from _check_old_value(kind[1:-1], models, item, f"{path}[{index}]")
    elif kind.startswith("{"):
        for key, item in value.items():
            yield from _check_old_value(kind[1:-1], models, item, f"{path}.{key}")
    elif hasattr(models, kind) and hasattr(getattr(models, kind), "_attribute_map"):
        yield from _check(getattr(models, kind), models, value, path)
    else:
        plain = {"str": str, "bool": bool, "int": int}.get(kind)
        if plain is not None and type(value) is not plain:
            yield f"{path}: {value!r} is no {kind}"
