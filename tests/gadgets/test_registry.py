"""Class names of configs -> classes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from elastron.errors import ConfigError
from elastron.gadgets import registry
from elastron.gadgets.base import Gadget
from elastron.gadgets.extract import ExtractGadget
from elastron.gadgets.registry import GADGETS, find_gadget, gadget_names


class FakeDistribution:
    def __init__(self, name: str) -> None:
        self.name = name


def point(name: str, value: str, package: str) -> EntryPoint:
    found = EntryPoint(name, value, registry.ENTRY_POINT_GROUP)
    vars(found)["dist"] = FakeDistribution(package)
    return found


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Pretend that packages with these entry points are installed."""

    def pretend(*points: EntryPoint) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: points)
        registry._custom.cache_clear()

    monkeypatch.setattr(registry, "_custom", registry._custom)
    yield pretend  # type: ignore[misc]
    monkeypatch.undo()
    registry._custom.cache_clear()


@pytest.mark.parametrize("name", GADGETS)
def test_every_gadget_is_where_the_list_says_and_is_named_so(name: str) -> None:
    gadget = find_gadget(name, "gadgetron_mricore")
    assert issubclass(gadget, Gadget)
    assert gadget.__name__ == name
    assert gadget.__doc__


def test_an_unknown_name_comes_with_close_ones_first() -> None:
    with pytest.raises(ConfigError) as raised:
        find_gadget("genericreconcartesiangrapa")
    message = str(raised.value)
    assert message.startswith(
        "Unknown gadget 'genericreconcartesiangrapa'. "
        "Did you mean GenericReconCartesianGrappaGadget"
    )
    assert "entry point in the group 'elastron.gadgets'" in message


def test_a_long_name_is_cut() -> None:
    with pytest.raises(ConfigError) as raised:
        find_gadget("x" * 10_000)
    assert len(str(raised.value)) < 1000


def test_entry_points_are_known(install: Install) -> None:
    install(point("MyGadget", "elastron.gadgets.extract:ExtractGadget", "my-package"))
    assert "MyGadget" in gadget_names()
    assert find_gadget("MyGadget") is ExtractGadget


def test_ours_goes_first_unless_the_config_names_the_package(install: Install) -> None:
    install(point("UnorderedMerge", "elastron.gadgets.extract:ExtractGadget", "my-package"))
    assert find_gadget("UnorderedMerge", "gadgetron_core_parallel").__name__ == "UnorderedMerge"
    assert find_gadget("UnorderedMerge", "my-package") is ExtractGadget
    assert find_gadget("UnorderedMerge", "elastron") is ExtractGadget


def test_two_packages_with_one_name_need_a_choice(install: Install) -> None:
    install(
        point("G", "elastron.gadgets.extract:ExtractGadget", "one"),
        point("G", "elastron.gadgets.fanout:ImageFanout", "two"),
    )
    with pytest.raises(ConfigError, match=r"Several installed packages .*'G': one, two"):
        find_gadget("G")
    assert find_gadget("G", "two").__name__ == "ImageFanout"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("no.such.module:G", "'G' of package 'p' cannot be imported: ModuleNotFoundError"),
        ("elastron.gadgets.extract:Nothing", "cannot be imported: AttributeError"),
        ("elastron.errors:ConfigError", "is not a subclass of"),
    ],
)
def test_a_broken_package_is_named(install: Install, value: str, expected: str) -> None:
    install(point("G", value, "p"))
    with pytest.raises(ConfigError, match=expected):
        find_gadget("G")
