"""How the commands for Azure speak."""

from __future__ import annotations

import pytest

from elastron.cli import aks_running
from elastron.cli.aks_running import agreed, show_findings, tell
from elastron.cloud.azure.events import Event, Step, note
from elastron.cloud.azure.preflight import Finding, Severity
from elastron.errors import ConfigError


@pytest.fixture
def said(capsys):
    """What went to stderr."""
    aks_running.stderr.cache_clear()
    yield lambda: capsys.readouterr().err
    aks_running.stderr.cache_clear()


def test_each_event_is_a_line(said):
    tell(Event(Step.BEGUN, "cluster mr", "create", 0.0, 3, 22))
    tell(Event(Step.GOES_ON, "cluster mr", "create", 61.0, 3, 22))
    tell(Event(Step.DONE, "cluster mr", "create", 245.0, 3, 22))
    tell(Event(Step.DONE, "cluster mr", "wait", 2.0))
    tell(note("The group stays."))
    assert said().splitlines() == [
        "[3/22] create cluster mr",
        "[3/22] create cluster mr: 1:01 so far",
        "[3/22] create cluster mr: done in 4:05",
        "wait cluster mr: done in 2.00 s",
        "The group stays.",
    ]


def test_findings(said):
    warning = Finding(Severity.WARNING, "quota", "It will stop growing.")
    error = Finding(Severity.ERROR, "name", "The name is taken.")
    assert show_findings([warning])
    assert not show_findings([error, warning])
    assert "error: The name is taken." in said()


def test_nobody_to_ask(monkeypatch):
    assert agreed("Go on?", yes=True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="--plan"):
        agreed("Go on?", yes=False)


@pytest.mark.parametrize(("answer", "goes_on"), [(True, True), (False, False)])
def test_asking(monkeypatch, answer, goes_on):
    monkeypatch.setattr(
        aks_running.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})()
    )
    monkeypatch.setattr(aks_running.typer, "confirm", lambda question, err: answer)
    assert agreed("Go on?", yes=False) is goes_on
