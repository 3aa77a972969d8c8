"""The reference page of fleet.yaml says what the code says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from elastron.fleet.settings import (
    Buffer,
    FleetSettings,
    Moment,
    PoolSettings,
    RatePolicy,
    ScaleDown,
    ScaleUp,
    ScalingSettings,
    ScheduleRule,
    parse_fleet,
)

PAGE = Path(__file__).parents[2] / "docs/reference/fleet-yaml.md"

SECTIONS: list[tuple[str, str, type[BaseModel]]] = [
    ("The file", "Keys of the file itself.", FleetSettings),
    ("A pool", "Keys of `pools.NAME`. A name has small letters, digits and hyphens.", PoolSettings),
    ("scaling", "Of the whole fleet, or of one pool, whose own keys win.", ScalingSettings),
    (
        "scale_up",
        "What `behavior.scaleUp` of a HorizontalPodAutoscaler (autoscaling/v2) means, with "
        "defaults that suit scans.",
        ScaleUp,
    ),
    ("scale_down", "What `behavior.scaleDown` means.", ScaleDown),
    ("A rate policy", "One of `policies`.", RatePolicy),
    (
        "A rule of the schedule",
        "One of `schedule`. The minimum is that of whichever moment came last.",
        ScheduleRule,
    ),
    ("A moment", "`up` or `down` of a rule.", Moment),
]


def shown(value: Any) -> str:
    if isinstance(value, Buffer):
        return f"`{value}`"
    if value is None:
        return "none"
    if isinstance(value, float) and value == int(value):
        return f"`{int(value)}`"
    if isinstance(value, str) and value:
        return f"`{value}`"
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`" if isinstance(value, int | float) else ""


def row(name: str, field: FieldInfo) -> str:
    default = "**needed**" if field.is_required() else shown(field.get_default())
    return f"| `{name}` | {default} | {field.description} |"


@pytest.mark.parametrize(("title", "words", "model"), SECTIONS)
def test_every_key_is_there_with_its_default_and_meaning(title, words, model):
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    assert words in section
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [row(name, field) for name, field in model.model_fields.items()]


def test_the_example_is_a_fleet():
    example = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    fleet = parse_fleet(example)
    assert set(fleet.pools) == {"default", "gpu"}
    assert yaml.safe_load(example)["scaling"]["buffer"] == "25%"
