"""The reference page of the description says what the code says."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from elastron.cloud.azure.description import Aks, parse_aks
from elastron.cloud.azure.description_network import Network, Vpn
from elastron.cloud.azure.description_parts import Pool, SystemPool, Upgrades
from elastron.cloud.azure.description_services import FleetPart, Monitoring, Registry, Storage
from elastron.cloud.azure.prices import PriceTable

PAGE = Path(__file__).parents[3] / "docs/reference/azure.md"

SECTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("The file", "Keys of the file itself.", Aks),
    ("system_pool", "The first pool; every cluster has it.", SystemPool),
    ("A pool", "Keys of `pools.NAME`. A name has 1 to 12 small letters and digits.", Pool),
    ("upgrades", "A window for both kinds of upgrades, once a week.", Upgrades),
    ("network", "Ranges are IPv4 and apart from each other.", Network),
    ("storage", "Storage accounts that know no keys.", Storage),
    ("registry", "`registry: {}` is one with all defaults.", Registry),
    ("monitoring", "Logs and metrics are chosen apart from each other.", Monitoring),
    ("vpn", "`vpn: {}` is one with all defaults; `aks vpn up` makes the certificates.", Vpn),
    ("fleet", "The rest is in the chart's values.", FleetPart),
    ("The table of prices", "`elastron aks prices` writes one.", PriceTable),
]


def shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"`{getattr(item, 'value', item)}`" for item in value)
    return f"`{value}`" if isinstance(value, str | int | float) and value != "" else ""


def row(name: str, field: FieldInfo) -> str:
    if field.is_required():
        default = "**needed**"
    elif field.default_factory is not None:
        default = ""
    else:
        default = shown(field.get_default())
    return f"| `{name}` | {default} | {field.description} |"


def table(words: str, model: type[BaseModel]) -> str:
    rows = [row(name, field) for name, field in model.model_fields.items()]
    return "\n".join([words, "", "| key | default | meaning |", "|---|---|---|", *rows])


@pytest.mark.parametrize(("title", "words", "model"), SECTIONS)
def test_every_key_is_there_with_its_default_and_meaning(title, words, model):
    section = PAGE.read_text().split(f"## {title}\n\n")[1].split("\n## ")[0]
    assert section.startswith(table(words, model))


def models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for inner in get_args(annotation) for model in models_in(inner)}


def test_all_parts_of_the_description_are_on_the_page():
    parts = [models_in(field.annotation) for field in Aks.model_fields.values()]
    assert set().union(*parts) <= {model for _, _, model in SECTIONS}


def test_the_example_is_a_description():
    examples = [part.split("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]
    assert len(examples) >= 1
    aks = parse_aks(examples[0])
    assert set(aks.pools) == {"userpool", "gpu"}
    assert aks.pools["gpu"].has_gpu
