"""Text of a config -> typed properties; wrong values and unknown names."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from elastron.errors import ConfigError
from elastron.gadgets.base import Gadget, Properties
from elastron.pipeline.config import GadgetNode
from elastron.pipeline.properties import describe_properties, read_properties


class Algorithm(enum.Enum):
    INATI = "Inati"
    WALSH = "Walsh"


class AllKinds(Properties):
    flag: bool = False
    count: int = 1
    width: float = 0.5
    dimension: Literal["", "slice", "repetition"] = ""
    algorithm: Algorithm = Algorithm.INATI
    numbers: list[int] = Field(default_factory=list)
    words: tuple[str, ...] | None = None
    limited: Annotated[int, Field(ge=0, le=9)] = 0
    n_dimension: str = Field("", alias="N_dimension")

    @field_validator("n_dimension")
    @classmethod
    def _not_x(cls, value: str) -> str:
        if value == "x":
            raise ValueError("anything but x.")
        return value


class AllKindsGadget(Gadget[AllKinds]):
    properties_type = AllKinds


def read(**texts: str) -> tuple[AllKinds, list[str]]:
    node = GadgetNode("AllKindsGadget", name="Kinds", properties=texts)
    properties, warnings = read_properties(AllKindsGadget, node, "x.xml")
    assert isinstance(properties, AllKinds)
    return properties, warnings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flag", "true", True),
        ("flag", "1", True),
        ("flag", "false", False),
        ("flag", "0", False),
        ("count", "-3", -3),
        ("width", "1e-3", 1e-3),
        ("width", "2", 2.0),
        ("dimension", "", ""),
        ("dimension", "slice", "slice"),
        ("algorithm", "Walsh", Algorithm.WALSH),
        ("numbers", "1, 2 3", [1, 2, 3]),
        ("numbers", "", []),
        ("words", "a b", ("a", "b")),
    ],
)
def test_values(name: str, text: str, value: object) -> None:
    properties, warnings = read(**{name: text})
    assert getattr(properties, name) == value
    assert warnings == []


def test_an_alias_is_the_name() -> None:
    assert read(N_dimension="slice")[0].n_dimension == "slice"
    names = [each.name for each in describe_properties(AllKindsGadget)]
    assert "N_dimension" in names
    assert "n_dimension" not in names


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("flag", "maybe", "true, false, 1, 0"),
        ("count", "1.5", "a whole number"),
        ("count", "", "a whole number"),
        ("width", "wide", "a number"),
        ("dimension", "slices", "'', 'slice', 'repetition'"),
        ("algorithm", "walsh", "'Inati', 'Walsh'"),
        ("limited", "10", "a whole number, at least 0, at most 9."),
        ("N_dimension", "x", "anything but x."),
        ("numbers", "1 x", "input should be a valid integer"),
    ],
)
def test_a_wrong_value_names_property_value_and_what_is_allowed(
    name: str, text: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        read(**{name: text})
    message = str(raised.value)
    assert f"Property {name!r} of gadget 'Kinds' (AllKindsGadget), config 'x.xml'" in message
    assert f"is {text!r}" in message
    assert f"Allowed: {allowed}" in message


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigError) as raised:
        read(count="x" * 10_000)
    assert len(str(raised.value)) < 300


def test_an_unknown_property_is_a_warning_that_names_everything() -> None:
    (warning,) = read(contour="1")[1]
    assert "'contour' of gadget 'Kinds' (AllKindsGadget), config 'x.xml' is ignored" in warning
    assert "Did you mean 'count'?" in warning
    assert "N_dimension, algorithm, count" in warning


def test_debugging_switches_of_the_original_are_taken() -> None:
    assert read(debug_folder="x", verbose="true", perform_timing="true")[1] == []


def test_properties_in_words() -> None:
    described = {
        each.name: (each.default, each.allowed) for each in describe_properties(AllKindsGadget)
    }
    assert described == {
        "flag": ("false", "true, false, 1, 0"),
        "count": ("1", "a whole number"),
        "width": ("0.5", "a number"),
        "dimension": ("", "'', 'slice', 'repetition'"),
        "algorithm": ("Inati", "'Inati', 'Walsh'"),
        "numbers": ("", "text"),
        "words": ("", "text"),
        "limited": ("0", "a whole number, at least 0, at most 9"),
        "N_dimension": ("", "text"),
    }


class Needy(Properties):
    must: int

    @model_validator(mode="after")
    def _odd(self) -> Needy:
        if self.must % 2 == 0:
            raise ValueError("must must be odd")
        return self


class NeedyGadget(Gadget[Needy]):
    properties_type = Needy


@pytest.mark.parametrize(
    ("texts", "expected"),
    [({}, "Property 'must' .* is missing"), ({"must": "2"}, "do not fit together: .*odd")],
)
def test_what_fits_no_single_property(texts: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        read_properties(NeedyGadget, GadgetNode("NeedyGadget", properties=texts), "x.xml")
