from __future__ import annotations

from pathlib import Path

import pytest

from elastron.cli.fleet_plan import PoolWish, parse_pool, plan_fleet, plan_gateway, plan_nodes
from elastron.errors import ConfigError
from elastron.fleet.settings import parse_fleet
from elastron.gateway.pools import classify
from elastron.gateway.settings import GatewaySettings
from elastron.node import NodeSettings

NOTHING = PoolWish()
TWO = "pools: {gpu: {max: 2, configs: ['*_gpu.xml']}, cpu: {min: 0}}\nscaling: {buffer: 2}"


def plan(file=None, pools=(), wish=NOTHING, cores=4):
    return plan_fleet(
        file=None if file is None else parse_fleet(file), pools=pools, wish=wish, cores=cores
    )


@pytest.mark.parametrize(
    ("wish", "cores", "expected"),
    [
        (NOTHING, 1, (1, 1, 1)),
        (NOTHING, 2, (1, 2, 1)),
        (NOTHING, 16, (1, 16, 1)),
        (PoolWish(capacity=4), 2, (1, 1, 4)),
        (PoolWish(capacity=4), 9, (1, 3, 4)),
        (PoolWish(min=3), 2, (3, 3, 1)),
        (PoolWish(min=0, max=6), 2, (0, 6, 1)),
    ],
)
def test_a_fleet_for_this_machine(wish, cores, expected):
    pool = plan(wish=wish, cores=cores).pools["default"]
    assert (pool.min, pool.max, pool.capacity) == expected


def test_pools_of_a_file_keep_what_they_say():
    fleet = plan(TWO)
    assert (fleet.pools["gpu"].max, fleet.pools["cpu"].max) == (2, 4)
    assert fleet.pools["cpu"].scaling.buffer.nodes == 2


def test_pools_of_the_command_line():
    fleet = plan(pools=["name=gpu,min=0,max=2,configs=a*+b*,capabilities=gpu", "name=cpu"])
    assert fleet.pools["gpu"].configs == ("a*", "b*")
    assert fleet.pools["gpu"].capabilities == ("gpu",)
    assert list(fleet.pools) == ["gpu", "cpu"]
    assert parse_pool("name=a,memory=8GiB") == {"name": "a", "memory_bytes_max": "8GiB"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pools": ["min=1"]}, "no name"),
        ({"pools": ["name=a,name=b"]}, "each once"),
        ({"pools": ["name=a,size=3"]}, "KEY=VALUE"),
        ({"pools": ["name=a", "name=a"]}, "same name"),
        ({"pools": ["name=A!"]}, "The fleet"),
        ({"pools": ["name=a,max=x"]}, "The fleet"),
        ({"pools": ["name=a,capacity=0"]}, "The fleet"),
        ({"pools": ["name=a"], "file": TWO}, "not in both"),
        ({"file": TWO, "wish": PoolWish(min=1)}, "one pool"),
        ({"wish": PoolWish(min=3, max=2)}, r"min \(3\) is above max \(2\)"),
    ],
)
def test_what_cannot_be_meant(options, words):
    with pytest.raises(ConfigError, match=words):
        plan(**options)


def test_the_gateway_sends_scans_to_the_pools_of_their_configs():
    gateway = plan_gateway(
        GatewaySettings(), plan(TWO), nodes_file=Path("/s/nodes.json"), journal=Path("/s/journal")
    )
    assert gateway.registry.nodes == ("file:/s/nodes.json",)
    assert gateway.journal.folder == Path("/s/journal")
    assert classify(gateway.pools, config_name="x_gpu.xml").pool == "gpu"
    assert classify(gateway.pools, config_name="x.xml").pool == "cpu"
    assert classify(gateway.pools, config_xml=b"<x/>").pool == "cpu"


def test_a_pool_that_takes_everything_is_asked_last():
    fleet = plan("pools: {cpu: {}, gpu: {configs: ['*_gpu.xml']}}")
    gateway = plan_gateway(
        GatewaySettings(), fleet, nodes_file=Path("/s/nodes.json"), journal=Path("/s/journal")
    )
    assert classify(gateway.pools, config_name="x_gpu.xml").pool == "gpu"
    assert classify(gateway.pools, config_name="x.xml").pool == "cpu"


def test_somebody_takes_what_no_pool_asked_for():
    fleet = plan("pools: {gpu: {configs: ['*_gpu.xml']}, fft: {configs: ['*FFT*']}}")
    gateway = plan_gateway(
        GatewaySettings(admin=None), fleet, nodes_file=Path("/n"), journal=Path("/j")
    )
    assert classify(gateway.pools, config_name="else.xml").pool == "gpu"
    assert gateway.admin == "127.0.0.1:0"  # the autoscaler asks there


def test_what_nodes_are_told():
    fleet = plan("pools: {gpu: {capacity: 2, memory_bytes_max: 8GiB, capabilities: [gpu]}}")
    templates = plan_nodes(
        NodeSettings(listen="0.0.0.0:9002", capabilities={"b", "a"}),
        fleet,
        storage_url="http://s",
        gateway_admin="http://g",
        lease_s=7,
    )
    template = templates["gpu"]
    settings = NodeSettings.model_validate(template.settings)
    assert settings.listen == settings.admin == "127.0.0.1:0"
    assert settings.capacity == 2
    assert settings.session_memory_bytes_max == 4 << 30
    assert settings.storage_url == "http://s"
    assert settings.peers.gateway_admin == "http://g"
    assert template.settings["capabilities"] == ["a", "b", "gpu"]
    assert template.capabilities == {"gpu"}
    assert template.lease_s == 7
