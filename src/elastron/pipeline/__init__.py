"""Configs (Gadgetron XML) and the chains built from them.

    config = load_config("default.xml")
    chain = build(config, context)
    for item in chain(items): ...

`ItemQueue` feeds a chain from another thread; `reconstruct` does all of it in one call.
"""

from elastron.pipeline.assembly import build
from elastron.pipeline.chain import Chain, Run, Step
from elastron.pipeline.config import Config
from elastron.pipeline.load import config_names, load_config, stock_config_names
from elastron.pipeline.parse import parse_config
from elastron.pipeline.queue import ItemQueue
from elastron.pipeline.reconstruction import reconstruct
from elastron.pipeline.remote import DistributionLimits, Link, Peers
from elastron.pipeline.serialize import serialize_config, written_by_node

__all__ = [
    "Chain",
    "Config",
    "DistributionLimits",
    "ItemQueue",
    "Link",
    "Peers",
    "Run",
    "Step",
    "build",
    "config_names",
    "load_config",
    "parse_config",
    "reconstruct",
    "serialize_config",
    "stock_config_names",
    "written_by_node",
]
