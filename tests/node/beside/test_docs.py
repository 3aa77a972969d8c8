"""The page on metrics, held to the code."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from elastron.node.beside.metrics import Readings, SidecarMetrics

DOCS = Path(__file__).parents[3] / "docs"


def test_every_metric_is_documented_and_no_other() -> None:
    text = SidecarMetrics(lambda: Readings(1, 2, 3, 4, up=True)).exposition().decode()
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
    }
    page = (DOCS / "reference/metrics.md").read_text()
    table = page.partition("\n## Sidecar\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert {line.split("`")[1] for line in rows} == names
