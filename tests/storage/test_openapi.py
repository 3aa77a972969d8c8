"""The OpenAPI document, and Schemathesis against it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from elastron.storage import StorageSettings
from elastron.storage.openapi import document_bytes

from .parts import ANSWER_S, LONG, folder_settings, running_server

# JSON Schema counts characters where the server counts bytes: the same for ASCII. Any parameter
# may be a tag. A condition or a range that does not hold is a legal request.
SCHEMATHESIS = """
[generation]
codec = "ascii"
allow-extra-parameters = false
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 412, 416]
"""


def test_the_document(client: httpx.Client) -> None:
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document == json.loads(document_bytes())
    for path, operations in document["paths"].items():
        for method in operations.keys() - {"parameters"}:
            where = path.replace("{id}", "abc")
            assert client.request(method, where).status_code != 405, (method, path)


def test_the_page(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "GET /v1/blobs/data/latest" in answer.text
    assert "://" not in answer.text, "nothing is loaded from elsewhere"


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    config = tmp_path / "schemathesis.toml"
    config.write_text(SCHEMATHESIS)
    with running_server(StorageSettings(**folder_settings(tmp_path, log_requests=False))) as url:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
        command += ["run", f"{url}/openapi.json", "--checks", "all", "--no-color"]
        command += ["--max-examples", "200" if LONG else "25", "--workers", "2"]
        # A slow machine is no failure.
        command += ["--request-timeout", str(ANSWER_S), "--suppress-health-check", "too_slow"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
        assert httpx.get(f"{url}/healthcheck", timeout=ANSWER_S, trust_env=False).status_code == 200
