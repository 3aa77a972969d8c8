"""Both grammars, references, limits; and only ConfigError for anything else."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import ConfigError
from elastron.pipeline import load_config, parse_config, stock_config_names
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
from elastron.pipeline.parse import MAX_CONFIG_BYTES, MAX_ELEMENTS


def version2(stream: str, rest: str = "") -> bytes:
    return (
        f"<configuration><version>2</version>{rest}<stream>{stream}</stream></configuration>"
    ).encode()


def gadget(name: str, properties: dict[str, str] | None = None) -> str:
    children = "".join(
        f"<property><name>{key}</name><value>{value}</value></property>"
        for key, value in (properties or {}).items()
    )
    names = f"<name>{name}</name><dll>d</dll><classname>{name}Gadget</classname>"
    return f"<gadget>{names}{children}</gadget>"


def properties_of(config: Config) -> dict[str, dict[str, str]]:
    return {
        node.label: dict(node.properties)
        for node in config.stream.nodes
        if isinstance(node, GadgetNode)
    }


LEGACY = b"""<?xml version="1.0" encoding="utf-8"?>
<gadgetronStreamConfiguration xsi:schemaLocation="http://gadgetron.sf.net/gadgetron gadgetron.xsd"
    xmlns="http://gadgetron.sf.net/gadgetron"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <reader><slot>1008</slot><dll>gadgetron_mricore</dll>
    <classname>GadgetIsmrmrdAcquisitionMessageReader</classname></reader>
  <writer><slot>1022</slot><dll>gadgetron_mricore</dll><classname>MRIImageWriter</classname></writer>
  <!-- a comment -->
  <gadget><name>AccTrig</name><dll>gadgetron_mricore</dll>
    <classname>AcquisitionAccumulateTriggerGadget</classname>
    <property><name>trigger_dimension</name><value>repetition</value></property>
    <property><name>sorting_dimension</name><value></value></property>
    <property><name>other</name></property>
  </gadget>
  <gadget><dll>gadgetron_mricore</dll><classname>ExtractGadget</classname></gadget>
</gadgetronStreamConfiguration>
"""


def test_legacy_grammar() -> None:
    assert parse_config(LEGACY, "x.xml") == Config(
        Stream(
            (
                GadgetNode(
                    "AcquisitionAccumulateTriggerGadget",
                    "gadgetron_mricore",
                    "AccTrig",
                    {"trigger_dimension": "repetition", "sorting_dimension": "", "other": ""},
                ),
                GadgetNode("ExtractGadget", "gadgetron_mricore"),
            ),
            "main",
        ),
        (Reader("GadgetIsmrmrdAcquisitionMessageReader", "gadgetron_mricore", 1008),),
        (Writer("MRIImageWriter", "gadgetron_mricore"),),
        "x.xml",
    )


def test_version_2_grammar_with_every_node_type() -> None:
    one = "<gadget><dll>d</dll><classname>A</classname><property name='p' value=' 1 '/></gadget>"
    io = (
        "<readers><reader><dll>d</dll><classname>R</classname></reader></readers>"
        "<writers><writer><dll>d</dll><classname>W</classname></writer></writers>"
    )
    config = parse_config(
        version2(
            one
            + "<parallel><merge><classname>M</classname></merge><branch><classname>B</classname>"
            f"</branch><stream key='a'>{one}</stream><stream key='b'/></parallel>"
            f"<parallelprocess workers='3'><purestream>{one}</purestream></parallelprocess>"
            "<external><execute name='m' type='Python' target='t'/><configuration>"
            "<x a='1'>y</x></configuration></external>"
            f"<external><connect port='9003'/>{io}</external>"
            f"<distributed>{io}<distributor><classname>D</classname></distributor>"
            f"<stream>{one}</stream></distributed>"
            f"<puredistributed>{io}<purestream>{one}</purestream></puredistributed>",
            io,
        )
    )
    a = GadgetNode("A", "d", "", {"p": "1"})
    readers, writers = (Reader("R", "d"),), (Writer("W", "d"),)
    assert (config.readers, config.writers) == (readers, writers)
    assert config.stream == Stream(
        (
            a,
            ParallelNode(GadgetNode("B"), GadgetNode("M"), (Stream((a,), "a"), Stream((), "b"))),
            ParallelProcessNode((a,), 3),
            ExternalNode(
                Execute("m", "python", "t"), b'<configuration><x a="1">y</x></configuration>'
            ),
            ExternalNode(Connect("9003"), readers=readers, writers=writers),
            DistributedNode(GadgetNode("D"), Stream((a,)), readers, writers),
            PureDistributedNode((a,), readers, writers),
        )
    )


def test_a_python_gadget_of_old_is_an_external_node() -> None:
    config = parse_config(
        b"<gadgetronStreamConfiguration><gadget><name>p</name><dll>gadgetron_python</dll>"
        b"<classname>PythonGadget</classname>"
        b"<property><name>python_module</name><value>m</value></property>"
        b"<property><name>python_class</name><value>C</value></property>"
        b"</gadget></gadgetronStreamConfiguration>"
    )
    (node,) = config.stream.nodes
    assert isinstance(node, ExternalNode)
    assert node.action == Execute("m", "python", "C")
    assert b'name="python_class" value="C"' in node.configuration


def test_references_are_followed() -> None:
    config = parse_config(
        version2(
            gadget("A", {"x": "y@B", "z": "5"})
            + gadget("B", {"y": "w@C"})
            + gadget("C", {"w": "deep"})
        )
    )
    assert properties_of(config) == {
        "A": {"x": "deep", "z": "5"},
        "B": {"y": "deep"},
        "C": {"w": "deep"},
    }


def test_references_reach_into_parallel_streams() -> None:
    inner = gadget("B", {"y": "7"})
    config = parse_config(
        version2(
            gadget("A", {"x": "y@B"})
            + "<parallel><branch><classname>F</classname></branch>"
            + f"<stream key='k'>{inner}</stream><merge><classname>M</classname></merge></parallel>"
        )
    )
    assert properties_of(config)["A"] == {"x": "7"}


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (version2(gadget("A", {"x": "y@B"}) + gadget("B", {"y": "x@A"})), "Cyclic reference"),
        (version2(gadget("A", {"x": "x@A"})), "Cyclic reference"),
        (version2(gadget("A", {"x": "y@Nobody"})), "'y@Nobody' has no target"),
        (version2(gadget("A", {"x": "me@example.org"})), "has no target"),
        (version2("<Gadget/>"), "cannot hold <Gadget>"),
        (version2("<gadget><name>A</name></gadget>"), "'A' has no <classname>"),
        (
            version2(
                "<gadget><classname>A</classname>"
                "<property name='a' value='1'><name>a</name></property></gadget>"
            ),
            "Ambiguous property parse",
        ),
        (
            version2("<gadget><classname>A</classname><property/></gadget>"),
            "Unable to parse property",
        ),
        (version2("<parallel/>"), "no <stream>"),
        (version2("<parallel><stream key='a'/><stream key='a'/></parallel>"), "different keys"),
        (version2("<parallel><stream/></parallel>"), "no <branch>"),
        (version2("<parallelprocess workers='no'><purestream/></parallelprocess>"), "workers="),
        (version2("<parallelprocess workers='9999'><purestream/></parallelprocess>"), "0 to 256"),
        (
            version2(
                "<parallelprocess workers='1'><purestream><parallel/></purestream>"
                "</parallelprocess>"
            ),
            "gadgets only",
        ),
        (version2("<external/>"), "needs <execute> or <connect>"),
        (version2("<external><execute name='a' type='perl'/></external>"), "python, matlab, julia"),
        (version2("<external><connect/></external>"), "needs port="),
        (version2("", "<readers><reader><dll>d</dll></reader></readers>"), "no <classname>"),
        (
            version2(
                "", "<readers><reader><slot>x</slot><classname>R</classname></reader></readers>"
            ),
            "slot is 'x'",
        ),
        (
            b"<gadgetronStreamConfiguration><gadget><dll>gadgetron_python</dll>"
            b"<classname>PythonGadget</classname><property><name>python_module</name><value/>"
            b"</property></gadget></gadgetronStreamConfiguration>",
            "no property 'python_module'",
        ),
        (b"<configuration><version>1</version></configuration>", "No parser accepted"),
        (b"<other/>", "its root is <other>"),
        (b"<configuration>", "Not well-formed"),
        (b"", "empty"),
        (b" \0\0", "empty"),
        (b"\xff\xfe\x00", "Not well-formed"),
        (b'<?xml version="1.0" encoding="x-none"?><a/>', "unknown encoding"),
        (b'<!DOCTYPE a [<!ENTITY x "xxxx">]><a>&x;</a>', "refused"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "refused"),
        (b"<a>" * 100, "nested deeper"),
        (b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", "More than"),
        (b"<a>" + b" " * MAX_CONFIG_BYTES + b"</a>", "limit of 1048576"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(xml: bytes, expected: str) -> None:
    with pytest.raises(ConfigError, match=r"^Config 'x\.xml': ") as raised:
        parse_config(xml, "x.xml")
    assert expected in str(raised.value)
    assert len(str(raised.value)) < 600


def test_a_trailing_nul_is_taken() -> None:
    assert parse_config(LEGACY + b"\0", "a") == parse_config(LEGACY, "a")


# --- fuzz ----------------------------------------------------------------------------------------

STOCK = [(_stock_folder() / name).read_bytes() for name in stock_config_names()] + [LEGACY]
TAGS = [
    "configuration", "gadgetronStreamConfiguration", "version", "stream", "gadget", "parallel",
    "parallelprocess", "external", "distributed", "puredistributed", "purestream", "branch",
    "merge", "distributor", "readers", "reader", "writers", "writer", "name", "dll", "classname",
    "slot", "property", "value", "execute", "connect", "x",
]  # fmt: skip
texts = st.text(string.printable + "@é\u2028", max_size=8).map(
    lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
)
attributes = st.dictionaries(
    st.sampled_from(["name", "value", "key", "workers", "type", "port"]), texts, max_size=3
).map(lambda found: "".join(f' {key}="{value}"' for key, value in found.items()))
elements = st.recursive(
    st.builds("<{0}{1}>{2}</{0}>".format, st.sampled_from(TAGS), attributes, st.just("2") | texts),
    lambda children: st.builds(
        lambda tag, attributes, inner: f"<{tag}{attributes}>{''.join(inner)}</{tag}>",
        st.sampled_from(TAGS),
        attributes,
        st.lists(children, max_size=5),
    ),
    max_leaves=30,
)


def refused_or_config(xml: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_config(xml), Config)


@given(st.one_of(elements, elements.map(lambda inner: version2(inner).decode())))
@settings(max_examples=300, deadline=None)
def test_any_tree_is_a_config_or_a_config_error(xml: str) -> None:
    refused_or_config(xml.encode())


@given(
    st.sampled_from(STOCK),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=300, deadline=None)
def test_any_mutation_of_a_stock_config_is_a_config_or_a_config_error(
    xml: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    for where, length, replacement in edits:
        start = int(where * len(xml))
        xml = xml[:start] + replacement + xml[start + length :]
    refused_or_config(xml)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_a_config_error(xml: bytes) -> None:
    refused_or_config(xml)


def test_stock_configs_differ() -> None:
    assert len({repr(load_config(name).stream) for name in stock_config_names()}) > 10


def distributed_of_old(*gadgets: str) -> bytes:
    body = "".join(
        f"<gadget><name>{name}</name><classname>{name}</classname>"
        "<property><name>parallel_dimension</name><value>Phase</value></property></gadget>"
        for name in gadgets
    )
    return f"<gadgetronStreamConfiguration>{body}</gadgetronStreamConfiguration>".encode()


def test_distribute_and_collect_of_old_are_a_distributed_node() -> None:
    distribute = "IsmrmrdAcquisitionDistributeGadget"
    config = parse_config(distributed_of_old("A", distribute, "B", "C", "CollectGadget", "D"))
    first, node, last = config.stream.nodes
    assert [each.label for each in (first, last)] == ["A", "D"]  # type: ignore[union-attr]
    assert isinstance(node, DistributedNode)
    assert node.distributor.classname == "AcquisitionDistributor"
    assert node.distributor.properties == {"parallel_dimension": "phase"}
    assert [each.label for each in node.stream.nodes] == ["B", "C"]  # type: ignore[union-attr]
    assert [each.classname for each in node.readers] == ["MRIImageReader"]
    assert [each.classname for each in node.writers] == ["GadgetIsmrmrdAcquisitionMessageWriter"]
    for wrong in ((distribute,), ("CollectGadget",), ("CollectGadget", distribute)):
        with pytest.raises(ConfigError, match="CollectGadget"):
            parse_config(distributed_of_old(*wrong))
