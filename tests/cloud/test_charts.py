"""Where the charts are found."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from elastron.cloud import charts as charts_module
from elastron.cloud.charts import FLEET, charts, find_chart
from elastron.errors import ConfigError
from tests.helm.harness import CHARTS


def test_ours_are_found_in_the_source_tree():
    assert charts() == {each.parent.name: each.parent for each in CHARTS.glob("*/Chart.yaml")}
    assert find_chart(FLEET) == CHARTS / "gadgetron"


def test_those_of_an_installed_package_come_first(tmp_path, monkeypatch):
    for place in ("charts", "helm"):
        folder = tmp_path / place / "gadgetron"
        folder.mkdir(parents=True)
        (folder / "Chart.yaml").write_text("name: gadgetron")
    monkeypatch.setattr(charts_module, "_PLACES", (tmp_path / "charts", tmp_path / "helm"))
    assert find_chart("gadgetron") == tmp_path / "charts/gadgetron"


def test_a_wheel_carries_them():
    project = tomllib.loads((CHARTS.parent / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["helm"] == "elastron/charts"


def test_others_by_path_and_reference(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/Chart.yaml").write_text("name: mine")
    (tmp_path / "mine.tgz").write_bytes(b"")
    assert find_chart(str(tmp_path / "mine")) == tmp_path / "mine"
    assert find_chart(str(tmp_path / "mine.tgz")) == tmp_path / "mine.tgz"
    assert find_chart("oci://registry.example/charts/x") == "oci://registry.example/charts/x"


def test_what_is_no_chart(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"neither .*gadgetron.*stunnel"):
        find_chart(str(tmp_path))
    monkeypatch.setattr(charts_module, "_PLACES", (Path("/nonexistent"),))
    with pytest.raises(ConfigError, match="missing from this installation"):
        find_chart("gadgetron")
