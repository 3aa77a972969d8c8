from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConfigError
from elastron.fleet.settings import (
    Buffer,
    FleetSettings,
    PolicyKind,
    Select,
    load_fleet,
    parse_fleet,
)

FULL = """
pools:
  default:
    min: 1
    max: 12
    capacity: 2
    memory_bytes_max: 8GiB
    configs: ["*"]
    price_per_hour: 0.4
  gpu:
    min: 0
    max: 4
    configs: ["Generic_Cartesian_*", "fixed_radial.xml"]
    capabilities: [gpu]
    start_delay_s: 240
    scaling:
      buffer: 1
      scale_up: {select: min}
scaling:
  buffer: 20%
  target: 0.8
  scale_up:
    tolerance: 0.05
    policies: [{type: nodes, value: 3, period_s: 60}, {type: percent, value: 50, period_s: 30}]
  scale_down: {stabilisation_window_s: 600}
  idle_to_zero_s: 900
  schedule:
    - name: working hours
      time_zone: Europe/Berlin
      up: {cron: "45 6 * * 1-5", min: 3}
      down: {cron: "0 18 * * 1-5"}
poll_s: 2
"""


def test_a_whole_file():
    fleet = parse_fleet(FULL)
    default, gpu = fleet.pools["default"], fleet.pools["gpu"]
    assert fleet.poll_s == 2
    assert default.memory_bytes_max == 8 << 30
    assert default.target_per_node == 1.6
    assert default.scaling == fleet.scaling
    assert default.scaling.buffer == Buffer(percent=20)
    assert default.scaling.scale_up.policies[0].type is PolicyKind.NODES
    assert gpu.capabilities == ("gpu",)
    rule = gpu.scaling.schedule[0]
    assert (rule.up.min, rule.down.min) == (3, None)


def test_a_pools_own_scaling_wins_key_by_key():
    gpu = parse_fleet(FULL).pools["gpu"].scaling
    assert gpu.buffer == Buffer(nodes=1)
    assert gpu.scale_up.select is Select.MIN
    assert gpu.scale_up.tolerance == 0.05
    assert gpu.scale_down.stabilisation_window_s == 600
    assert gpu.target == 0.8


@pytest.mark.parametrize("text", ["", "{}", "pools:", "pools: {default: }", "pools: {default: {}}"])
def test_what_is_left_out_has_its_default(text):
    assert parse_fleet(text) == FleetSettings()


def test_common_scaling_holds_without_pools():
    assert parse_fleet("scaling: {buffer: 3}").pools["default"].scaling.buffer == Buffer(nodes=3)


def test_common_scaling_holds_in_code_as_well():
    common = parse_fleet("scaling: {buffer: 3}").scaling
    made = FleetSettings(pools={"a": {"min": 2}}, scaling=common)  # type: ignore[dict-item]
    assert made.pools["a"].scaling.buffer == Buffer(nodes=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pools: {a: {minn: 3}}", "pools.a.minn: there is no such key; did you mean 'min'?"),
        ("pols: {}", "pols: there is no such key; did you mean 'pools'?"),
        ("qqq: 1", "qqq: there is no such key; known are pools, scaling, poll_s"),
        (
            "scaling: {scale_up: {stabilization_window_s: 3}}",
            "scaling.scale_up.stabilization_window_s: there is no such key; did you mean "
            "'stabilisation_window_s'?",
        ),
        (
            "scaling: {schedule: [{up: {corn: x}, down: {cron: '0 0 * * *'}}]}",
            "scaling.schedule.0.up.corn: there is no such key; did you mean 'cron'?",
        ),
        ("pools: {a: {min: 5, max: 3}}", "pools.a: min (5) is above max (3)"),
        ("pools: {A_: {}}", "a pool's name has 1 to 40 small letters"),
        ("pools: []", "pools: Input should be a valid dictionary"),
        ("pools: {}", "pools: Dictionary should have at least 1 item"),
        ("scaling: {buffer: some}", "scaling.buffer: a number of nodes, such as 2, or a share"),
        ("scaling: {buffer: true}", "scaling.buffer: a number of nodes, such as 2, or a share"),
        ("scaling: {buffer: -1}", "scaling.buffer.nodes: Input should be greater than or equal"),
        ("scaling: {target: 0}", "scaling.target: Input should be greater than 0"),
        ("scaling: {scale_up: {policies: []}}", "at least 1 item"),
        ("scaling: {scale_up: {policies: [{type: pods}]}}", "'nodes' or 'percent'"),
        ("[", "is not YAML"),
        ("- 1", "must be a table with the keys pools, scaling, poll_s"),
        ("poll_s: 0", "poll_s: Input should be greater than 0"),
    ],
)
def test_mistakes_are_named(text, words):
    with pytest.raises(ConfigError) as caught:
        parse_fleet(text, "my.yaml")
    assert str(caught.value).startswith("my.yaml")
    assert words in str(caught.value)


def rule(up: str = "0 7 * * *", zone: str = "UTC", minimum: int = 2) -> str:
    return f"""
pools: {{a: {{max: 4}}}}
scaling:
  schedule:
    - time_zone: {zone}
      up: {{cron: "{up}", min: {minimum}}}
      down: {{cron: "0 18 * * *"}}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rule(up="0 7 * *"), "has five fields"),
        (rule(up="0 25 * * *"), "not a cron expression: Bad hour"),
        (rule(up="0 0 31 2 *"), "up.cron: not a cron expression"),
        (rule(up="0 0 30 2 1"), "ok"),  # day or weekday: every Monday in February
        (rule(zone="Berlin"), "no time zone 'Berlin'"),
        (rule(zone="Europe"), "no time zone 'Europe'"),
        (rule(zone="../../etc/passwd"), "no time zone"),
        (rule(minimum=9), "pools.a: the schedule's minimum 9 is above max (4)"),
    ],
)
def test_mistakes_in_a_schedule_are_named(text, words):
    if words == "ok":
        parse_fleet(text)
        return
    with pytest.raises(ConfigError, match=r".") as caught:
        parse_fleet(text)
    assert words in str(caught.value)


def test_a_mistake_in_the_common_part_is_told_once():
    with pytest.raises(ConfigError) as caught:
        parse_fleet("pools: {a: {}, b: {}}\nscaling: {taget: 1}")
    assert str(caught.value).count("taget") == 1


def test_files_are_read(tmp_path):
    file = tmp_path / "fleet.yaml"
    file.write_text(FULL)
    assert load_fleet(file) == parse_fleet(FULL)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_fleet(tmp_path / "none.yaml")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_fleet(file)
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="too large"):
        load_fleet(file)


def test_yaml_can_build_no_objects():
    with pytest.raises(ConfigError, match="not YAML"):
        parse_fleet("!!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(
    ("text", "needed", "spare"),
    [("0", 9, 0), ("2", 0, 2), ("2", 9, 2), ("25%", 0, 0), ("25%", 1, 1), ("10%", 30, 3)],
)
def test_buffers(text, needed, spare):
    fleet = parse_fleet(f"scaling: {{buffer: {text}}}")
    assert fleet.scaling.buffer.beside(needed) == spare
    assert str(fleet.scaling.buffer) == text


@given(st.dictionaries(st.sampled_from(["pools", "scaling", "poll_s"]), st.text() | st.integers()))
def test_nonsense_is_an_error_of_our_own(values):
    text = "\n".join(f"{key}: {value!r}" for key, value in values.items())
    with contextlib.suppress(ConfigError):
        parse_fleet(text)


def test_settings_go_through_json():
    fleet = parse_fleet(FULL)
    assert FleetSettings.model_validate_json(fleet.model_dump_json()) == fleet


def test_every_setting_is_described():
    schema = FleetSettings.model_json_schema()
    for name, model in {**schema["$defs"], "FleetSettings": schema}.items():
        for key, field in model.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key}"
