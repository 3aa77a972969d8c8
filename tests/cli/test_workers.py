"""`elastron workers`."""

from __future__ import annotations

import json

from elastron.service.workers import parse_workers
from tests.service.test_workers import gateway


def test_the_list_is_one_a_gadgetron_takes(run) -> None:
    with gateway(200, b'["10.0.0.1:9002","10.0.0.2:9002"]') as (url, asked):
        printed = run("workers", "--gateway", url, "--not", "10.0.0.3:9002").stdout
    assert parse_workers(printed) == ["10.0.0.1:9002", "10.0.0.2:9002"]
    assert asked == ["/workers?not=10.0.0.3%3A9002"]


def test_the_environment_may_name_the_gateway(run, monkeypatch) -> None:
    with gateway(200, b"[]") as (url, _):
        monkeypatch.setenv("ELASTRON_GATEWAY_ADMIN", url)
        assert json.loads(run("workers").stdout) == []


def test_without_a_gateway_the_error_is_not_on_stdout(run) -> None:
    with gateway(200, b"[]") as (url, _):
        pass
    failed = run("workers", "--gateway", url, "--timeout", 2, code=1)
    assert failed.stdout == ""
    assert "does not answer" in failed.stderr
