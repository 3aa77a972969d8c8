"""Config -> XML -> the same Config."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.pipeline import (
    load_config,
    parse_config,
    serialize_config,
    stock_config_names,
    written_by_node,
)
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
from elastron.pipeline.load import _stock_folder
from elastron.wire.scan_mark import marked, new_mark

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


#: As pugixml writes what the Gadgetron sends to a worker.
FROM_A_GADGETRON = b"""<?xml version="1.0"?>
<configuration>
\t<version>2</version>
\t<readers>
\t\t<reader>
\t\t\t<dll></dll>
\t\t\t<classname>MRIImageReader</classname>
\t\t</reader>
\t</readers>
\t<writers />
\t<stream key="PureStream">
\t\t<gadget>
\t\t\t<dll>gadgetron_mricore</dll>
\t\t\t<classname>ComplexToFloatGadget</classname>
\t\t\t<name>Convert &amp; go</name>
\t\t\t<property name="a" value="1 &lt; &quot;2&quot;" />
\t\t\t<property name="b" value="" />
\t\t</gadget>
\t</stream>
</configuration>
"""


def test_a_config_that_a_node_wrote_is_told_from_peoples() -> None:
    assert written_by_node(FROM_A_GADGETRON, parse_config(FROM_A_GADGETRON))
    for changed in (
        FROM_A_GADGETRON.replace(b"</version>", b"</version><!-- mine -->"),
        FROM_A_GADGETRON.replace(b'"1.0"', b'"1.0" encoding="UTF-8"'),
        FROM_A_GADGETRON.replace(b'<property name="b" value="" />', b""),
    ):
        people = b"<!--" in changed or b"encoding" in changed
        assert written_by_node(changed, parse_config(changed)) is not people


@given(configs)
@settings(deadline=None)
def test_what_we_write_is_written_by_a_node(config: Config) -> None:
    xml = serialize_config(config)
    assert written_by_node(xml, parse_config(xml))
    assert written_by_node(xml + b"\0", parse_config(xml))
    sent = marked(xml, new_mark())
    assert parse_config(sent) == parse_config(xml)
    assert written_by_node(sent, parse_config(sent))


@pytest.mark.parametrize("name", stock_config_names())
def test_stock_configs_are_written_by_people(name: str) -> None:
    xml = (_stock_folder() / name).read_bytes()
    assert not written_by_node(xml, parse_config(xml))
