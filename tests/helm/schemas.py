"""Holds objects to the published schemas: Kubernetes' own, and those of custom resources."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

from tests.helm.harness import Object

FOLDER = Path(__file__).parent / "crds"

# It reads its files, of a megabyte, anew for every object.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

#: The last four Kubernetes versions that there are schemas of.
VERSIONS = [
    f"1.{minor}"
    for minor in sorted(
        {int(each.split(".")[1]) for each in kubernetes_validate.utils.all_versions()}
    )
][-4:]


@cache
def custom_kinds() -> dict[str, dict[str, Any]]:
    """What `crds/` has a schema of, by kind."""
    files = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return {each["kind"]: each for each in files}


def validate(each: Object, version: str) -> None:
    """Raise where an object is not what an API server of that version takes.

    Raises:
        kubernetes_validate.ValidationError: it is a wrong object of Kubernetes.
        jsonschema.ValidationError: it is a wrong custom object.
    """
    if each["kind"] in custom_kinds():
        _validate_custom(json.dumps(each, sort_keys=True))
    else:
        _validate_own(json.dumps(each, sort_keys=True), version)


@cache  # most objects are the same whatever the values
def _validate_own(text: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(text), version, strict=True)


@cache
def _validate_custom(text: str) -> None:
    each = json.loads(text)
    crd = custom_kinds()[each["kind"]]
    if each["apiVersion"] != f"{crd['group']}/{crd['version']}":
        raise jsonschema.ValidationError(f"{each['kind']} is not of {each['apiVersion']}")
    _validator(each["kind"]).validate(each)


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = _strict(custom_kinds()[kind]["schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(schema)


def _strict(node: Any) -> Any:
    """The schema with unknown fields refused, which an API server drops in silence."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    strict = {
        key: {name: _strict(each) for name, each in value.items()}
        if key == "properties"
        else _strict(value)
        for key, value in node.items()
    }
    known = isinstance(strict.get("properties"), dict)
    if (
        known
        and "additionalProperties" not in strict
        and not strict.get("x-kubernetes-preserve-unknown-fields")
    ):
        strict["additionalProperties"] = False
    if strict.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict
