from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from elastron.fleet.queueing import Priority
from elastron.gateway.node_settings import RegistrySettings
from elastron.gateway.placement import PlacementSettings
from elastron.gateway.pools import Class, PoolRule, classify

XML = b"""<?xml version="1.0"?><gadgetronStreamConfiguration xmlns="http://gadgetron">
<reader><classname>AcquisitionReader</classname></reader>
<gadget><name>G</name><dll>x</dll><classname> gpuSenseGadget
</classname></gadget></gadgetronStreamConfiguration>"""


def test_without_rules_everything_is_default() -> None:
    assert classify((), config_name="default.xml") == Class("default", frozenset(), Priority.INLINE)


def test_the_first_rule_that_fits_is_taken() -> None:
    rules = (
        PoolRule(configs=("*_gpu*.xml", "gpu_*"), pool="gpu", needs=frozenset({"gpu"})),
        PoolRule(configs=("*",), pool="rest", priority=Priority.OFFLINE),
    )
    assert classify(rules, config_name="grappa_gpu_fast.xml") == Class("gpu", frozenset({"gpu"}))
    assert classify(rules, config_name="gpu_x.xml").pool == "gpu"
    assert classify(rules, config_name="x.xml") == Class("rest", frozenset(), Priority.OFFLINE)
    assert classify(rules, config_name="GPU_x.xml").pool == "rest"


def test_configs_by_value_are_known_by_their_gadgets() -> None:
    rules = (PoolRule(gadgets=("gpu*",), pool="gpu"), PoolRule(configs=("*",), pool="named"))
    assert classify(rules, config_xml=XML).pool == "gpu"
    assert classify(rules, config_xml=XML.replace(b"gpuSense", b"Sense")).pool == "default"
    assert classify(rules, config_name="gpuSenseGadget").pool == "named"


def test_tenants() -> None:
    rules = (PoolRule(tenants=("research-*",), priority=Priority.OFFLINE),)
    assert classify(rules, tenant="research-7").priority is Priority.OFFLINE
    assert classify(rules, tenant="ward").priority is Priority.INLINE


def test_everything_a_rule_asks_must_hold() -> None:
    rules = (PoolRule(configs=("a*",), tenants=("t",), pool="p"),)
    assert classify(rules, config_name="a.xml", tenant="t").pool == "p"
    assert classify(rules, config_name="a.xml", tenant="u").pool == "default"
    assert classify(rules, config_name="b.xml", tenant="t").pool == "default"


@pytest.mark.parametrize("xml", [b"", b"<classname>", b"\xff\xfe" * 1000, b"<classname>" * 100_000])
def test_odd_configs_are_no_trouble(xml: bytes) -> None:
    assert classify((PoolRule(gadgets=("x*",), pool="p"),), config_xml=xml).pool == "default"


def test_misspelt_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        PoolRule.model_validate({"config": ["x"]})


@pytest.mark.parametrize("model", [PoolRule, RegistrySettings, PlacementSettings])
def test_every_setting_is_in_the_reference(model: type[BaseModel]) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/pools.md").read_text()
    for name, field in model.model_fields.items():
        assert f"`{name}`" in page
        assert field.description
