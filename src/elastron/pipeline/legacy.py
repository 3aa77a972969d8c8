"""Nodes of the legacy grammar that have become something else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from elastron.errors import ConfigError
from elastron.pipeline.config import (
    Config,
    DistributedNode,
    GadgetNode,
    Node,
    Reader,
    Stream,
    Writer,
)

_DISTRIBUTE = "IsmrmrdAcquisitionDistributeGadget"
_COLLECT = "CollectGadget"
#: What must go between nodes besides what the config's own client sends and gets.
_READER = Reader("MRIImageReader", "gadgetron_mricore")
_WRITER = Writer("GadgetIsmrmrdAcquisitionMessageWriter", "gadgetron_mricore")


def with_distributed_nodes(config: Config) -> Config:
    """The gadgets between a distributing and a collecting one as a `<distributed>` node.

    Raises:
        ConfigError: one of the two without the other.
    """
    names = [_classname(node) for node in config.stream.nodes]
    if _DISTRIBUTE not in names and _COLLECT not in names:
        return config
    if names.count(_DISTRIBUTE) != 1 or names.count(_COLLECT) != 1:
        raise ConfigError(f"A config has one {_DISTRIBUTE} and one {_COLLECT}, or neither.")
    first, last = names.index(_DISTRIBUTE), names.index(_COLLECT)
    if last < first:
        raise ConfigError(f"{_COLLECT} stands before {_DISTRIBUTE}.")
    nodes = config.stream.nodes
    distributed = _node(nodes[first], nodes[first + 1 : last], config)
    stream = replace(config.stream, nodes=(*nodes[:first], distributed, *nodes[last + 1 :]))
    return replace(config, stream=stream)


def _node(distribute: Node, inner: Iterable[Node], config: Config) -> DistributedNode:
    assert isinstance(distribute, GadgetNode)  # noqa: S101  - found by its class name
    dimension = distribute.properties.get("parallel_dimension", "slice")
    distributor = GadgetNode(
        "AcquisitionDistributor",
        "gadgetron_core_distributed",
        distribute.name,
        {"parallel_dimension": dimension.lower()},
    )
    readers, writers = config.readers, config.writers
    if _READER.classname not in {reader.classname for reader in readers}:
        readers = (*readers, _READER)
    if _WRITER.classname not in {writer.classname for writer in writers}:
        writers = (*writers, _WRITER)
    return DistributedNode(distributor, Stream(tuple(inner), config.stream.key), readers, writers)


def _classname(node: Node) -> str:
    return node.classname if isinstance(node, GadgetNode) else ""
