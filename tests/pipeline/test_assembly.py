"""From config to chain: what is refused, what is planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product

import pytest

from elastron.errors import ConfigError, HeaderError, ReconstructionError
from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.branching import Branch, Merge
from elastron.pipeline import Chain, Run, Step, build, parse_config
from elastron.pipeline.assembly import hybrid_outputs
from elastron.pipeline.config import ExternalNode

from .conftest import Register
from .data import batch

ChainOf = Callable[..., Chain]


class ThresholdProperties(Properties):
    level: float = 0.0


class Threshold(Gadget[ThresholdProperties]):
    properties_type = ThresholdProperties


class PureThreshold(Threshold):
    pure = True


def gadget(name: str, *properties: str) -> str:
    inner = "".join(f"<property name='{each}' value='1'/>" for each in properties)
    return f"<gadget><dll/><classname>{name}</classname>{inner}</gadget>"


def parallel(
    a: str, b: str = "", branch: str = "AcquisitionFanout", merge: str = "UnorderedMerge"
) -> str:
    return (
        f"<parallel><branch><classname>{branch}</classname></branch>"
        f"<stream key='a'>{a}</stream><stream key='b'>{b}</stream>"
        f"<merge><classname>{merge}</classname></merge></parallel>"
    )


@pytest.fixture(autouse=True)
def gadgets(register: Register) -> None:
    register(Threshold, PureThreshold)


def test_an_unknown_gadget_is_named_with_the_config_and_close_names(chain_of: ChainOf) -> None:
    with pytest.raises(ConfigError) as raised:
        chain_of(gadget("ExtractGadgt"))
    message = str(raised.value)
    assert message.startswith("Config 'test.xml': Unknown gadget 'ExtractGadgt'.")
    assert "Did you mean ExtractGadget" in message
    assert "Supported as well: " in message


def test_an_unknown_property_is_a_warning(chain_of: ChainOf) -> None:
    chain = chain_of(gadget("Threshold", "level", "levle") + parallel(gadget("Threshold", "x")))
    assert [warning.split(" of ")[0] for warning in chain.warnings] == [
        "Unknown property 'levle'",
        "Unknown property 'x'",
    ]


def test_a_wrong_reader_names_the_config(context: Context) -> None:
    config = parse_config(
        b"<configuration><version>2</version><readers><reader><classname>X</classname></reader>"
        b"</readers></configuration>",
        "r.xml",
    )
    with pytest.raises(ConfigError, match=r"Config 'r\.xml': Unknown reader 'X'"):
        build(config, context)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (parallel("", branch="Threshold"), "'Threshold' is not a branch"),
        (parallel("", merge="AcquisitionFanout"), "'AcquisitionFanout' is not a merge"),
        (gadget("UnorderedMerge"), "'UnorderedMerge' belongs into a <parallel>"),
        (
            f"<parallelprocess workers='2'><purestream>{gadget('Threshold')}</purestream>"
            "</parallelprocess>",
            "Non-pure Gadget 'Threshold' .* in pure stream",
        ),
        ("<external><connect port='1'/></external>", "<external> are not available"),
        (
            "<distributed><distributor><classname>Threshold</classname></distributor><stream/>"
            "</distributed>",
            "'Threshold' is not a distributor",
        ),
        (
            "<distributed><readers><reader><classname>X</classname></reader></readers>"
            "<distributor><classname>BufferDistributor</classname></distributor><stream/>"
            "</distributed>",
            "Unknown reader 'X'",
        ),
        (
            f"<puredistributed><purestream>{gadget('Threshold')}</purestream></puredistributed>",
            "Non-pure Gadget 'Threshold' .* in pure stream",
        ),
        (gadget("BufferDistributor"), "'BufferDistributor' belongs into a <distributed>"),
    ],
)
def test_what_cannot_be_built_is_named(chain_of: ChainOf, stream: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"Config 'test.xml'.*{expected}"):
        chain_of(stream)


def test_external_nodes_are_built_by_the_caller(context: Context) -> None:
    seen: list[tuple[ExternalNode, str]] = []

    def external(node: ExternalNode, context: Context) -> Step:
        seen.append((node, context.config_name))

        def step(items: Iterable[Item], run: Run) -> Iterator[Item]:
            for item in items:
                yield item
                yield item

        return step

    config = parse_config(
        b"<configuration><version>2</version><stream><external><connect port='1'/></external>"
        b"</stream></configuration>",
        "d.xml",
    )
    chain = build(config, context, external=external)
    assert [name for _, name in seen] == ["d.xml"]
    assert len(list(chain([batch(0)]))) == 2


def test_a_gadget_only_others_have_is_no_error_of_a_distributed_node(chain_of: ChainOf) -> None:
    unknown = gadget("OnlyOnTheOtherNode")
    chain = chain_of(f"<puredistributed><purestream>{unknown}</purestream></puredistributed>")
    assert len(chain.steps) == 1


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (ConfigError("No dump folder."), ConfigError, "gadget 'G' (Failing): No dump folder."),
        (HeaderError("No encoding."), HeaderError, "main/G] ERROR: No encoding. (gadget Failing"),
        (ValueError("x"), ReconstructionError, "main/G] ERROR: ValueError: x (gadget Failing"),
    ],
)
def test_a_gadget_that_cannot_be_made_is_named(
    chain_of: ChainOf, register: Register, raised: Exception, expected: type, words: str
) -> None:
    class Failing(Gadget[Properties]):
        def __init__(self, properties: Properties, context: Context) -> None:
            raise raised

    register(Failing)
    with pytest.raises(expected) as caught:
        chain_of("<gadget><name>G</name><classname>Failing</classname></gadget>")
    assert words in str(caught.value)
    assert "test.xml" in str(caught.value)


# --- planning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", list(product(Hybrid, repeat=3)), ids=str)
def test_hybrid_output_iff_all_pass_up_to_one_that_consumes(row: tuple[Hybrid, ...]) -> None:
    planned = hybrid_outputs(list(row))
    for i, allowed in enumerate(planned):
        after = list(row[i + 1 :])
        while after and after[0] is Hybrid.PASSES:
            after.pop(0)
        assert allowed == (bool(after) and after[0] is Hybrid.CONSUMES)


def test_gadgets_are_told_what_may_follow(chain_of: ChainOf, register: Register) -> None:
    told: list[bool] = []

    class Producer(Gadget[Properties]):
        def __init__(self, properties: Properties, context: Context) -> None:
            super().__init__(properties, context)
            told.append(context.hybrid_output)
            assert context.config_name == "test.xml"

    class Passing(Gadget[Properties]):
        hybrid = Hybrid.PASSES

    class Consuming(Gadget[Properties]):
        hybrid = Hybrid.CONSUMES

    class Consumer(Merge[Properties]):
        hybrid = Hybrid.CONSUMES

    class Opaque(Branch[Properties]):
        pass

    register(Producer, Passing, Consuming, Consumer, Opaque)
    for stream, expected in (
        (gadget("Producer") + gadget("Passing") + gadget("Consuming"), True),
        (gadget("Producer") + gadget("Threshold") + gadget("Consuming"), False),
        (gadget("Producer") + gadget("Passing"), False),
        (gadget("Producer") + parallel(gadget("Consuming")), False),  # stream b passes on
        (gadget("Producer") + parallel(gadget("Consuming"), b=gadget("Consuming")), True),
        (gadget("Producer") + parallel(gadget("Consuming"), b=gadget("Passing")), False),
        (gadget("Producer") + parallel(gadget("Passing"), merge="Consumer"), False),
        (gadget("Producer") + gadget("Passing") + parallel("", branch="Opaque"), False),
        (parallel(gadget("Producer")) + gadget("Consuming"), False),
        (parallel(gadget("Producer") + gadget("Consuming")), True),
    ):
        told.clear()
        chain_of(stream)
        assert told == [expected], stream


def test_channels_are_mixed_where_they_are_fewest(chain_of: ChainOf, register: Register) -> None:
    told: list[bool] = []

    class Mixer(Gadget[Properties]):
        def __init__(self, properties: Properties, context: Context) -> None:
            super().__init__(properties, context)
            told.append(context.mixing_later)

    register(Mixer)
    crop = gadget("RemoveROOversamplingGadget")
    echo = gadget("AsymmetricEchoAdjustROGadget")
    for stream in (
        gadget("Mixer") + echo + crop,
        gadget("Mixer") + crop,
        gadget("Mixer") + gadget("CoilReductionGadget") + crop,
        gadget("Mixer") + echo,
    ):
        chain_of(stream)
    assert told == [True, True, False, False]


def test_buckets_grow_before_a_gadget_that_takes_them_so(
    chain_of: ChainOf, register: Register
) -> None:
    told: list[bool] = []

    class Filler(Gadget[Properties]):
        def __init__(self, properties: Properties, context: Context) -> None:
            super().__init__(properties, context)
            told.append(context.growing_output)

    register(Filler)
    sort = gadget("BucketToBufferGadget")
    for stream in (
        gadget("Filler") + sort,
        gadget("Filler") + gadget("Threshold") + sort,
        gadget("Filler"),
        gadget("Filler") + parallel(sort),
    ):
        chain_of(stream)
    assert told == [True, False, False, False]
