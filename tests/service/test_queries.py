from __future__ import annotations

import json
import re

import pytest

import elastron
from elastron.service.queries import QUERIES, UNKNOWN, answer


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_has_an_answer(query: str) -> None:
    assert answer(query, status={}) != UNKNOWN


def test_version_names_the_protocol_and_us() -> None:
    version = answer("gadgetron::version", status={})
    assert re.fullmatch(r"4\.7\.2\+elastron\.\S+", version)
    assert version.endswith(elastron.__version__)


def test_info_is_laid_out_as_the_original() -> None:
    lines = answer("gadgetron::info", status={}).splitlines()
    assert lines[0] == "Gadgetron Version Info"
    assert all(re.match(r"  -- [\w ]+: ", line) for line in lines[1:])


def test_memory_is_a_number_of_bytes() -> None:
    assert int(answer("gadgetron::info::memory", status={})) > 2**20


def test_status_is_json() -> None:
    status = json.loads(answer("elastron::status", status={"running": 2}))
    assert status == {"version": elastron.__version__, "running": 2}


@pytest.mark.parametrize("query", ["", "gadgetron::", "GADGETRON::VERSION", "x" * 1000])
def test_anything_else(query: str) -> None:
    assert answer(query, status={}) == "Unknown query"
