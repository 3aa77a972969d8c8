from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image as Picture

from elastron.fleet.traces.generator import trace_text

FLEET = """
pools: {default: {min: 1, max: 6, price_per_hour: 2}}
scaling: {buffer: 1}
"""


@pytest.fixture
def fleet() -> Path:
    path = Path("fleet.yaml")
    path.write_text(FLEET)
    return path


def test_figures_of_one_policy(run, fleet):
    result = run("simulate", "clinic-day", "-f", fleet)
    lines = result.stdout.splitlines()
    assert lines[0] == "clinic-day: 134 scans from Monday, 02 March 2026"
    for label in ("wait for images mean", "in the queue mean", "p95", "p99", "longest"):
        assert any(label in line for line in lines), label
    for label in ("scans lost", "scans refused", "node hours", "cost", "nodes at most"):
        assert any(label in line for line in lines), label


def test_figures_as_json_against_others(run, fleet):
    other = Path("small.yaml")
    other.write_text("pools: {default: {max: 1}}")
    arguments = ("-f", fleet, "--against", other, "--against", "gadgetron-azure", "--json")
    answer = json.loads(run("simulate", "clinic-day", *arguments).stdout)
    assert answer["trace"] == {
        "name": "clinic-day",
        "scans": 134,
        "start": "2026-03-02T00:00:00+01:00",
        "duration_s": 86400,
    }
    ours, small, original = answer["policies"]
    assert [p["policy"] for p in answer["policies"]] == ["fleet", "small", "gadgetron-azure"]
    assert ours["finished"] == 134
    assert small["nodes_max"] == 1
    assert small["wait_s"]["mean"] > ours["wait_s"]["mean"]
    assert original["queue_s"]["max"] == 0
    assert ours["cost"] == pytest.approx(2 * ours["node_hours"], abs=0.01)
    assert original["cost"] > 0
    assert small["cost"] == 0


def test_a_trace_of_ones_own_and_other_delays(run, fleet):
    Path("mine.csv").write_text(
        "# duration_s: 1000\narrival_s,scan_s,reconstruction_s\n10,0,100\n10,0,100\n10,0,100\n"
    )

    def node_hours_and_wait(*options: object) -> tuple[float, float]:
        (policy,) = json.loads(run("simulate", "mine.csv", "-f", fleet, "--json", *options).stdout)[
            "policies"
        ]
        return policy["node_hours"], policy["queue_s"]["max"]

    hours, wait = node_hours_and_wait("--start-delay", 5, "--poll", 2)
    assert wait == 5  # decided at 10, at once
    more_hours, same_wait = node_hours_and_wait("--start-delay", 5, "--poll", 2, "--stop-delay", 60)
    assert (more_hours > hours, same_wait) == (True, 5)
    assert node_hours_and_wait("--start-delay", 50)[1] == 50


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture(run, fleet, ending):
    name = f"day.{ending}"
    run("simulate", "clinic-day", "-f", fleet, "--against", "gadgetron-azure", "--plot", name)
    assert Path(name).stat().st_size > 5000
    if ending == "png":
        with Picture.open(name) as picture:
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 50


def test_a_picture_of_nothing(run):
    Path("none.csv").write_text("arrival_s,scan_s,reconstruction_s\n")
    run("simulate", "none.csv", "--plot", "none.png")
    assert Path("none.png").exists()


def test_a_picture_needs_matplotlib(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    result = run("simulate", "clinic-day", "--plot", "day.png", code=1)
    assert "pip install 'elastron[plot]'" in result.stderr


def test_traces_are_made(run):
    assert run("simulate", "--make-trace", "clinic-day").stdout == trace_text("clinic-day", 1)
    run("simulate", "--make-trace", "clinic-day", "--seed", 7, "-o", "seven.csv")
    assert Path("seven.csv").read_text() == trace_text("clinic-day", 7)
    assert run("simulate", "seven.csv").stdout.startswith("seven: ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "a trace is missing"),
        (("clinic-day", "--make-trace", "clinic-day"), 2, "not both"),
        (("clinic",), 1, "no trace 'clinic'; give a CSV file, or clinic-day, hospital-week"),
        (("gone.csv",), 1, "gone.csv cannot be read"),
        (("clinic-day", "-f", "gone.yaml"), 1, "gone.yaml cannot be read"),
        (("clinic-day", "--against", "gadgetron"), 1, "gadgetron cannot be read"),
        (("clinic-day", "--plot", "day.gif"), 1, "ends in .png, .svg or .pdf"),
        (("--make-trace", "clinic"), 1, "No trace 'clinic' can be made"),
    ],
)
def test_mistakes(run, arguments, code, words):
    assert words in run("simulate", *arguments, code=code).stderr


def test_a_mistake_in_the_fleet_is_named(run):
    Path("fleet.yaml").write_text("scaling: {bufer: 1}")
    result = run("simulate", "clinic-day", "-f", "fleet.yaml", code=1)
    assert "did you mean 'buffer'?" in result.stderr
