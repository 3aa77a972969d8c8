"""Deploys a template in memory: evaluates its expressions as Azure Resource Manager does.

Functions: "ARM template functions"; only those that our templates use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from elastron.cloud.azure.resource import arm_guid, look_up

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z_][A-Za-z0-9_]*)|([(),.]))")


class Deployment:
    """A deployment into one resource group.

    Args:
        template: as exported.
        parameters: values of its parameters.
        subscription: id of the subscription.
        tenant: id of the tenant.
        group: name of the resource group.
        properties: what Azure answers, by id in small letters; for reference().
    """

    def __init__(
        self,
        template: dict[str, Any],
        parameters: dict[str, Any],
        *,
        subscription: str,
        tenant: str,
        group: str,
        properties: dict[str, dict[str, Any]],
    ) -> None:
        self._template = template
        self._parameters = {
            name: parameters.get(name, about.get("defaultValue"))
            for name, about in template.get("parameters", {}).items()
        }
        assert None not in self._parameters.values(), "a parameter has no value"
        self._subscription = subscription
        self._tenant = tenant
        self._group = group
        self._answers = properties
        self._done: set[str] = set()
        self.made: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, dict[str, Any]]:
        """All resources with their bodies, by id; each after what it depends on."""
        self._check_unique(self._template["resources"])
        waiting = list(self._template["resources"])
        while waiting:
            ready = [each for each in waiting if self._depends_on(each) <= self._done]
            assert ready, f"these wait for each other: {[each['name'] for each in waiting]}"
            for each in ready:
                self._deploy(each)
            waiting = [each for each in waiting if each not in ready]
        for output in self._template["outputs"].values():
            assert isinstance(self.value(output["value"]), str)
        return self.made

    def value(self, value: Any) -> Any:
        """A value with its expressions evaluated."""
        if isinstance(value, dict):
            evaluated = {self.value(key): self.value(item) for key, item in value.items()}
            # A property that is null is as good as left out.
            return {key: item for key, item in evaluated.items() if item is not None}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
            return value
        if value.startswith("[["):
            return value[1:]
        return self._evaluate(value[1:-1])

    def _check_unique(self, resources: list[dict[str, Any]]) -> None:
        names = [(each["type"], each.get("scope"), each["name"]) for each in resources]
        assert len(set(names)) == len(names)

    def _depends_on(self, resource: dict[str, Any]) -> set[str]:
        return {self.value(each).lower() for each in resource.get("dependsOn", [])}

    def _deploy(self, resource: dict[str, Any]) -> None:
        name = self.value(resource["name"])
        kind = resource["type"]
        if kind == "Microsoft.Resources/deployments":
            assert resource["properties"]["mode"] == "Incremental"
            for inner in resource["properties"]["template"]["resources"]:
                scope = self.value(inner["scope"])
                home = (
                    f"/subscriptions/{resource['subscriptionId']}/resourceGroups/"
                    f"{resource['resourceGroup']}/"
                )
                assert scope.startswith(home)
                self._deploy(inner)
        scope = self.value(resource["scope"]) if "scope" in resource else None
        home = f"{self._home()}/providers" if scope is None else f"{scope}/providers"
        provider, *kinds = kind.split("/")
        parts = "/".join(f"{k}/{n}" for k, n in zip(kinds, name.split("/"), strict=True))
        own_id = f"{home}/{provider}/{parts}"
        notes = {"type", "apiVersion", "name", "scope", "dependsOn"}
        body = {key: self.value(item) for key, item in resource.items() if key not in notes}
        self._done.add(own_id.lower())
        if kind != "Microsoft.Resources/deployments":
            self.made[own_id] = {"apiVersion": resource["apiVersion"], "body": body}

    def _home(self) -> str:
        return f"/subscriptions/{self._subscription}/resourceGroups/{self._group}"

    def _evaluate(self, text: str) -> Any:
        tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            assert match, f"{text!r} at {at}"
            quoted, word, sign = match.groups()
            if quoted is not None:
                tokens.append(("text", quoted.replace("''", "'")))
            else:
                tokens.append(("word", word) if word else ("sign", sign))
            at = match.end()
        value, rest = self._parse(tokens)
        assert not rest, f"{text!r}: {rest}"
        return value

    def _parse(self, tokens: list[tuple[str, str]]) -> tuple[Any, list[tuple[str, str]]]:
        (kind, word), *rest = tokens
        if kind == "text":
            return word, rest
        assert kind == "word"
        assert rest[0] == ("sign", "(")
        rest = rest[1:]
        arguments: list[Any] = []
        while rest[0] != ("sign", ")"):
            argument, rest = self._parse(rest)
            arguments.append(argument)
            if rest[0] == ("sign", ","):
                rest = rest[1:]
        value, rest = self._call(word, arguments), rest[1:]
        while rest and rest[0] == ("sign", "."):
            value = look_up(value, rest[1][1])
            assert value is not None, f"{word}: no {rest[1][1]}"
            rest = rest[2:]
        return value, rest

    def _call(self, name: str, arguments: list[Any]) -> Any:
        subscription = f"/subscriptions/{self._subscription}/providers"
        functions: dict[str, Callable[..., Any]] = {
            "subscription": lambda: {
                "subscriptionId": self._subscription,
                "tenantId": self._tenant,
            },
            "resourceGroup": lambda: {"name": self._group},
            "parameters": self._parameters.__getitem__,
            "guid": arm_guid,
            "empty": lambda text: text == "",
            "if": lambda condition, yes, no: yes if condition else no,
            "null": lambda: None,
            "concat": lambda *parts: "".join(parts),
            "resourceId": lambda *path: _path(f"{self._home()}/providers", path),
            "subscriptionResourceId": lambda *path: _path(subscription, path),
            "extensionResourceId": lambda scope, *path: _path(f"{scope}/providers", path),
            "reference": self._reference,
        }
        return functions[name](*arguments)

    def _reference(self, where: str, version: str) -> dict[str, Any]:
        assert where.lower() in self._done, f"{where} is not there yet"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", version)
        return self._answers[where.lower()]


def _path(home: str, arguments: Sequence[str]) -> str:
    provider, *kinds = arguments[0].split("/")
    names = arguments[1:]
    parts = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, names, strict=True))
    return f"{home}/{provider}/{parts}"
