"""The pages on the gateway's admin server, metrics and archive, held to the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from elastron.gateway import deidentify
from elastron.gateway.admin import make_app
from elastron.gateway.metrics import (
    OUTCOMES,
    REFUSAL_REASONS,
    REPLAY_REASONS,
    Metrics,
    Readings,
)
from tests.gateway.fake_gateway import FakeGateway

DOCS = Path(__file__).parents[2] / "docs"


def part_of(page: str) -> str:
    return (DOCS / page).read_text().partition("\n## Gateway\n")[2].partition("\n## ")[0]


def test_every_metric_is_documented_and_no_other():
    everything = Readings(archive_bytes=0, tls_handshakes={})
    text = Metrics(lambda: everything).exposition().decode()
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        if not family.name.endswith("_created")
    }
    lines = part_of("reference/metrics.md").splitlines()
    documented = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert sorted(documented) == sorted(names)


@pytest.mark.parametrize("value", [*OUTCOMES, *REFUSAL_REASONS, *REPLAY_REASONS])
def test_every_label_is_documented(value: str):
    assert f"`{value}`" in part_of("reference/metrics.md")


def test_every_page_is_documented_and_no_other(tmp_path: Path):
    app = make_app(FakeGateway(tmp_path))  # type: ignore[arg-type]
    pages = {
        route.path.replace("session_id", "id")  # type: ignore[attr-defined]
        for route in app.routes
    }
    table = part_of("reference/admin-http.md").partition("### ")[0]
    documented = {
        words.split()[1]
        for line in table.splitlines()
        for words in line.split("|")[1:2]
        for words in words.split("`")[1::2]
    }
    assert documented == pages


@pytest.mark.parametrize(
    "name",
    sorted(deidentify.HEADER_TEXTS | deidentify.HEADER_IDS | deidentify.IMAGE_TEXTS),
)
def test_everything_that_survives_deidentification_is_listed(name: str):
    assert f"`{name}`" in (DOCS / "how-to/archive.md").read_text()
