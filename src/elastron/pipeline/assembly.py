"""`Config` + `Context` -> `Chain`: finds the gadgets, gives them their properties, plans.

Planning: a gadget that may leave the readout axis in image space does so (`hybrid_output`) if all
gadgets after it, up to one that consumes, work in either domain. A parallel node counts as one that
consumes if its branch passes and every stream consumes; in front of any other node that is not a
gadget, and at the end, the axis is as acquired. So it is with channels that a gadget may leave to
be mixed by a later one (`mixing_later`), within a row of gadgets. Buckets are handed on while they
grow (`growing_output`) to a next gadget that takes them so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TypeVar

from elastron.errors import ConfigError, ElastronError
from elastron.gadgets.base import Context, Gadget, Hybrid
from elastron.gadgets.branching import Branch, Merge
from elastron.gadgets.distribution import Distributor
from elastron.gadgets.registry import find_gadget
from elastron.pipeline.chain import Chain, GadgetStep, Named, Step
from elastron.pipeline.config import (
    Config,
    DistributedNode,
    ExternalNode,
    GadgetNode,
    Node,
    ParallelNode,
    ParallelProcessNode,
    PureDistributedNode,
    Stream,
)
from elastron.pipeline.distributed import DistributedStep
from elastron.pipeline.properties import read_properties
from elastron.pipeline.pure_distributed import PureDistributedStep
from elastron.pipeline.remote import Peers, Remote
from elastron.pipeline.run import ParallelProcessStep, ParallelStep
from elastron.pipeline.slots import readable_messages, writable_messages

#: Builds the step of an external node, which needs another program.
External = Callable[[ExternalNode, Context], Step]

G = TypeVar("G", bound=Gadget)


def build(
    config: Config,
    context: Context,
    *,
    peers: Peers | None = None,
    external: External | None = None,
) -> Chain:
    """Build the chain of a config for one scan.

    Args:
        config: what to build.
        context: of the scan; `config_name` and what is planned are set here.
        peers: other nodes, for distributed nodes of the config; None: all is done here.
        external: builds external nodes; None refuses them.

    Raises:
        ConfigError: a gadget, reader, writer or property that is not supported, or a wrong value.
        ReconstructionError: a gadget could not be made for this scan.
        StorageError, HeaderError: as the gadgets raise them when they are made.
    """
    try:
        readable = readable_messages(config.readers)
        writable = writable_messages(config.writers)
    except ConfigError as error:
        raise ConfigError(f"Config {config.name!r}: {error}") from error
    context = replace(
        context,
        config_name=config.name,
        hybrid_output=False,
        mixing_later=False,
        growing_output=False,
    )
    builder = _Builder(context, peers, external)
    steps = tuple(builder.stream(config.stream, config.stream.key or "Stream"))
    nodes = config.stream.nodes
    streaming = len(tuple(takewhile(lambda node: builder.promises(node).streaming, nodes)))
    return Chain(config.name, readable, writable, steps, streaming, tuple(builder.warnings))


def _find(node: GadgetNode, kind: type[G], config_name: str) -> type[G]:
    """The node's class, which must be a `kind`."""
    try:
        found = find_gadget(node.classname, node.dll)
    except ConfigError as error:
        raise ConfigError(f"Config {config_name!r}: {error}") from error
    if not issubclass(found, kind):
        raise ConfigError(
            f"Config {config_name!r}: {node.classname!r} is not a {kind.__name__.lower()} and "
            "cannot stand in its place."
        )
    return found


def _check_pure(node: GadgetNode, gadget: type[Gadget], config_name: str) -> None:
    if not gadget.pure:
        raise ConfigError(
            f"Config {config_name!r}: Non-pure Gadget {node.label!r} ({node.classname}) in pure "
            "stream."
        )


@dataclass(slots=True)
class _Builder:
    """Builds nodes, and collects warnings."""

    context: Context
    peers: Peers | None
    external: External | None
    warnings: list[str] = field(default_factory=list)

    def stream(self, stream: Stream, path: str) -> Iterator[Step]:
        """The steps of a stream; `path` names it in messages."""
        hybrid = hybrid_outputs([self._hybrid(node) for node in stream.nodes])
        mixing = hybrid_outputs([self.promises(node).mixing for node in stream.nodes])
        growing = [*(self.promises(node).takes_growing for node in stream.nodes[1:]), False]
        for i, node in enumerate(stream.nodes):
            planned = replace(
                self.context,
                hybrid_output=hybrid[i],
                mixing_later=mixing[i],
                growing_output=growing[i],
            )
            yield self._node(node, planned, path)

    def promises(self, node: Node) -> type[Gadget]:
        """The class that says how a node treats items; what is no gadget promises nothing."""
        if isinstance(node, GadgetNode):
            return _find(node, Gadget, self.context.config_name)
        return Gadget

    def _hybrid(self, node: Node) -> Hybrid:
        """How a node treats items whose readout axis is in image space."""
        if isinstance(node, ParallelNode):
            branch = _find(node.branch, Branch, self.context.config_name).hybrid
            if branch is Hybrid.PASSES and all(map(self._consumes, node.streams)):
                return Hybrid.CONSUMES
        return self.promises(node).hybrid

    def _consumes(self, stream: Stream) -> bool:
        return takes_hybrid([self._hybrid(node) for node in stream.nodes])

    def _node(self, node: Node, context: Context, path: str) -> Step:
        match node:
            case GadgetNode():
                return GadgetStep(*self._gadget(node, Gadget, context, path))
            case ParallelNode():
                inner = f"{path}/{node.branch.label}"
                return ParallelStep(
                    branch=self._gadget(node.branch, Branch, context, path),
                    merge=self._gadget(node.merge, Merge, context, path),
                    streams={
                        each.key: tuple(self.stream(each, f"{inner}/{each.key or 'Stream'}"))
                        for each in node.streams
                    },
                )
            case ParallelProcessNode():
                gadgets = [self._gadget(each, Gadget, context, path) for each in node.gadgets]
                for each, (_, gadget) in zip(node.gadgets, gadgets, strict=True):
                    _check_pure(each, type(gadget), context.config_name)
                return ParallelProcessStep(tuple(gadgets), node.workers)
            case ExternalNode():
                if self.external is None:
                    raise ConfigError(
                        f"Config {context.config_name!r}: nodes of type <external> are not "
                        "available on this node yet."
                    )
                return self.external(node, context)
            case DistributedNode():
                named, distributor = self._gadget(node.distributor, Distributor, context, path)
                inner = Config(node.stream, node.readers, node.writers, context.config_name)
                return DistributedStep(named, distributor, self._remote(inner, context))
            case PureDistributedNode():
                for each in node.gadgets:
                    try:
                        found = find_gadget(each.classname, each.dll)
                    except ConfigError:
                        continue  # other nodes may have it
                    _check_pure(each, found, context.config_name)
                stream = Stream(node.gadgets, "PureStream")
                inner = Config(stream, node.readers, node.writers, context.config_name)
                named = Named("PureDistributed", "puredistributed", path, context.config_name)
                return PureDistributedStep(named, self._remote(inner, context))

    def _remote(self, inner: Config, context: Context) -> Remote:
        """What it takes to run a config on other nodes, or here after all."""
        try:
            readable = readable_messages(inner.readers)
            writable = writable_messages(inner.writers)
        except ConfigError as error:
            raise ConfigError(f"Config {context.config_name!r}: {error}") from error
        return Remote(
            inner,
            readable,
            writable,
            context,
            self.peers,
            build=lambda: build(inner, context, peers=self.peers, external=self.external),
        )

    def _gadget(
        self, node: GadgetNode, kind: type[G], context: Context, path: str
    ) -> tuple[Named, G]:
        gadget_type = _find(node, kind, context.config_name)
        if kind is Gadget and issubclass(gadget_type, (Branch, Merge, Distributor)):
            place = "distributed" if issubclass(gadget_type, Distributor) else "parallel"
            raise ConfigError(
                f"Config {context.config_name!r}: {node.classname!r} belongs into a <{place}> "
                "node, not into a stream."
            )
        properties, warnings = read_properties(gadget_type, node, context.config_name)
        for warning in warnings:
            context.log.warning("config", detail=warning)
        self.warnings += warnings
        named = Named(node.label, node.classname, path, context.config_name)
        try:
            return named, gadget_type(properties, context)
        except ConfigError as error:
            raise ConfigError(
                f"Config {context.config_name!r}, gadget {node.label!r} ({node.classname}): {error}"
            ) from error
        except ElastronError as error:
            raise type(error)(str(named.failure(error))) from error
        except Exception as error:
            raise named.failure(error) from error


def takes_hybrid(hybrids: list[Hybrid]) -> bool:
    """Whether a row of nodes may be given items that are halfway.

    Args:
        hybrids: what each node of the row takes.
    """
    for hybrid in hybrids:
        if hybrid is not Hybrid.PASSES:
            return hybrid is Hybrid.CONSUMES
    return False  # what follows the last one is the wire


def hybrid_outputs(hybrids: list[Hybrid]) -> list[bool]:
    """For each node of a row, whether what it puts out may be halfway."""
    return [takes_hybrid(hybrids[i + 1 :]) for i in range(len(hybrids))]
