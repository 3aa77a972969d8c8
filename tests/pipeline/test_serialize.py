"""Config -> XML -> the same Config."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.pipeline import load_config, parse_config, serialize_config, stock_config_names
from elastron.pipeline.config import (
    Config,
    Connect,
    DistributedNode,
    Execute,
    ExternalNode,
    GadgetNode,
    ParallelNode,
    ParallelProcessNode,
    PureDistributedNode,
    Reader,
    Stream,
    Writer,
)

words = st.text("abcXYZ019_ .<>&\"'é", max_size=12).map(str.strip)
names = words.filter(bool)
# What a parsed config cannot hold: an '@' stands for a reference, and outer blanks are cut off.
values = st.text("abc019 \n\t<>&\"'é;,.", max_size=20).map(str.strip)
gadgets = st.builds(GadgetNode, names, words, words, st.dictionaries(names, values, max_size=3))
readers = st.lists(
    st.builds(Reader, names, words, st.none() | st.integers(1, 65535)), max_size=2
).map(tuple)
writers = st.lists(st.builds(Writer, names, words), max_size=2).map(tuple)
pure = st.lists(gadgets, max_size=3).map(tuple)
actions = st.builds(Connect, names, names) | st.builds(
    Execute, names, st.sampled_from(["python", "matlab", "julia"]), st.none() | names
)
externals = st.builds(
    ExternalNode,
    actions,
    st.sampled_from([b"", b'<configuration><a b="1">c</a></configuration>']),
    readers,
    writers,
)


def streams(nodes: st.SearchStrategy, keys: st.SearchStrategy = words) -> st.SearchStrategy:
    return st.builds(Stream, st.lists(nodes, max_size=3).map(tuple), keys)


nodes = st.recursive(
    gadgets
    | externals
    | st.builds(ParallelProcessNode, pure, st.integers(0, 64))
    | st.builds(PureDistributedNode, pure, readers, writers),
    lambda inner: (
        st.builds(
            ParallelNode,
            gadgets,
            gadgets,
            st.lists(
                streams(inner), min_size=1, max_size=3, unique_by=lambda stream: stream.key
            ).map(tuple),
        )
        | st.builds(DistributedNode, gadgets, streams(inner), readers, writers)
    ),
    max_leaves=4,
)
configs = st.builds(Config, streams(nodes), readers, writers)


@given(configs)
@settings(deadline=None)
def test_parsing_what_was_serialised_gives_the_same_config(config: Config) -> None:
    assert parse_config(serialize_config(config)) == config


@pytest.mark.parametrize("name", stock_config_names())
def test_stock_configs_survive(name: str) -> None:
    config = load_config(name)
    assert parse_config(serialize_config(config), name) == config
