"""The documentation names what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import elastron.storage
from elastron.storage import StorageSettings
from elastron.storage.metrics import Metrics
from elastron.storage.openapi import document_bytes
from elastron.storage.settings import ORIGINAL_NAMES
from elastron.storage.tags import RESERVED

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference/storage-api.md").read_text()
HOW_TO = (DOCS / "how-to/storage.md").read_text()


@pytest.mark.parametrize("setting", StorageSettings.model_fields)
def test_settings(setting: str) -> None:
    assert f"`{setting}`" in REFERENCE


def test_error_codes() -> None:
    sources = Path(elastron.storage.__file__).parent.glob("*.py")
    text = "\n".join(source.read_text() for source in sources)
    codes = set(re.findall(r'(?:RequestError|error_reply)\(\s*\w+,\s*"(\w+)"', text))
    codes |= set(re.findall(r'"(Invalid\w+)"', text))
    assert len(codes) > 12
    for code in codes:
        assert f"`{code}`" in REFERENCE, code


def test_routes_and_reserved_names() -> None:
    for path in re.findall(rb'"(/[a-z0-9/{}]+)": \{', document_bytes()):
        assert path.decode() in REFERENCE
    for name in RESERVED:
        assert f"`{name}`" in REFERENCE


def test_metrics() -> None:
    for family in Metrics(lambda: 0).registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert f"`{name}`" in HOW_TO


def test_the_originals_variables() -> None:
    for name in ORIGINAL_NAMES:
        assert f"_{name}`" in HOW_TO
