from __future__ import annotations

import httpx
import pytest

from elastron.autoscaler import GatewaySource
from elastron.errors import ElastronError
from elastron.fleet.model import Demand, NodeState

ANSWER = {
    "nodes": [
        {"id": "node-1", "state": "busy", "running": 1, "capacity": 1, "pool": "default"},
        {"id": "node-2", "state": "dead", "running": 0, "error": "no answer"},
    ],
    "pools": {"default": {"running": 1, "queued": 4, "capacity": 1}},
}


def source(answer: httpx.Response | Exception) -> GatewaySource:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://gateway/fleet"
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return GatewaySource("http://gateway/", client=client)


async def test_it_reads_demand_and_load():
    view = await source(httpx.Response(200, json=ANSWER)).read()
    assert view.demand == {"default": Demand(running=1, queued=4)}
    assert view.loads["node-1"].running == 1
    assert view.loads["node-2"].state is NodeState.DEAD


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503),
        httpx.Response(200, text="not JSON"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"nodes": [], "pools": {"default": {"running": "many"}}}),
        httpx.Response(200, json={"nodes": [{"id": "a", "state": "odd"}], "pools": {}}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_what_is_no_answer_is_an_error(answer):
    with pytest.raises(ElastronError, match="http://gateway/fleet"):
        await source(answer).read()
