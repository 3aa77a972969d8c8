from __future__ import annotations

import json

import httpx
import pytest

import elastron
from elastron.wire.messages import Close, ConfigName, HeaderXml, Query, Response

from .harness import HEADER, NodeProcess, check_good_scan, images, scan, wait_for


def test_health_and_readiness(node: NodeProcess) -> None:
    assert node.get("/healthz").text == "ok\n"
    wait_for(lambda: node.get("/readyz").text == "ready\n", what="readiness")


def test_sessions(node: NodeProcess) -> None:
    with node.connect() as peer:
        peer.send(ConfigName("default.xml"), HeaderXml(HEADER), scan())
        wait_for(
            lambda: next((s for s in node.sessions() if s["acquisitions"] == 32), None),
            what="a session with its data",
        )
        (session,) = node.sessions()  # its figures are read one by one
        assert session["config"] == "default.xml"
        assert session["state"] == "STREAM"
        assert session["bytes_in"] > 32 * 1366
        assert session["peer"].startswith("127.0.0.1:")
        assert session["seconds"] > 0
        assert node.metric("gadgetron_activity") == 1
        assert "Jane" not in node.get("/sessions").text
        peer.send(Close())
        assert len(images(peer.receive())) == 1
    wait_for(lambda: not node.sessions(), what="an empty node")
    assert node.metric("gadgetron_activity") == 0


def test_status(node: NodeProcess) -> None:
    wait_for(lambda: not node.sessions(), what="an empty node")
    wait_for(lambda: node.metric("elastron_idle_workers") == 2, what="idle workers")
    idle = node.get("/status").json()
    assert idle["version"] == elastron.__version__
    assert (idle["capacity"], idle["running"], idle["sessions"]) == (4, 0, 0)
    assert (idle["draining"], idle["ready"], idle["capabilities"]) == (False, True, [])
    assert idle["memory_bytes"] > 2**26
    with node.connect() as peer:
        peer.send(ConfigName("default.xml"), HeaderXml(HEADER), scan())
        node.wait_for_session()
        busy = node.get("/status").json()
        assert (busy["running"], busy["sessions"], busy["ready"]) == (1, 1, True)
        asked = json.loads(_query(node, "elastron::status"))
        assert asked.pop("state") == "CONFIG"
        assert asked.keys() == busy.keys()
        assert asked["running"] == 1  # whoever asks does not count
    assert "Jane" not in json.dumps(busy)
    wait_for(lambda: not node.sessions(), what="an empty node")


def _query(node: NodeProcess, query: str) -> str:
    with node.connect() as peer:
        peer.send(Query(query, correlation_id=7), Close())
        (response,) = (each for each in peer.receive() if isinstance(each, Response))
        return response.response


def test_workers(node: NodeProcess) -> None:
    assert node.get("/workers").json() == [f"127.0.0.1:{node.port}"]


def test_metrics(node: NodeProcess) -> None:
    names = (
        "gadgetron_reconstruction_start_total",
        "gadgetron_reconstruction_finish_total",
        'elastron_sessions_total{outcome="ok"}',
        "elastron_session_seconds_count",
        "elastron_images_total",
    )
    wait_for(lambda: not node.sessions(), what="an empty node")
    before = {name: node.metric(name) for name in names}
    bytes_in = node.metric('elastron_bytes_total{direction="in"}')
    bytes_out = node.metric('elastron_bytes_total{direction="out"}')
    check_good_scan(node.port)
    wait_for(lambda: not node.sessions(), what="an empty node")
    assert {name: node.metric(name) - before[name] for name in names} == dict.fromkeys(names, 1)
    assert node.metric('elastron_bytes_total{direction="in"}') > bytes_in + 32 * 1366
    assert node.metric('elastron_bytes_total{direction="out"}') > bytes_out + 32 * 32 * 4
    assert node.metric("elastron_capacity") == 4
    wait_for(lambda: node.metric("elastron_idle_workers") == 2, what="idle workers")
    answer = node.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_unknown_sessions(node: NodeProcess) -> None:
    answer = httpx.delete(f"{node.admin}/sessions/deadbeef", timeout=60, trust_env=False)
    assert answer.status_code == 404
    assert "deadbeef" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/drain"), ("DELETE", "/sessions/1"), ("POST", "/sessions/1/cancel")],
)
def test_web_pages_of_others_may_not_change_anything(
    node: NodeProcess, method: str, path: str
) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        answer = httpx.request(
            method, node.admin + path, headers=headers, timeout=60, trust_env=False
        )
        assert answer.status_code == 403
    wait_for(lambda: node.get("/readyz").status_code == 200, what="readiness")


@pytest.mark.parametrize("path", ["/drain", "/sessions/1/cancel"])
def test_looking_changes_nothing(node: NodeProcess, path: str) -> None:
    assert node.get(path).status_code == 405
