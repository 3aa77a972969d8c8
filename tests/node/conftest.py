from __future__ import annotations

import pytest

from .harness import NodeProcess, running_node


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> NodeProcess:
    """A node with little patience, shared by the tests."""
    with running_node(
        tmp_path_factory.mktemp("node"),
        capacity=4,
        handshake_timeout_s=2,
        message_timeout_s=2,
        idle_timeout_s=4,
        linger_timeout_s=2,
        cancel_grace_s=1,
    ) as node:
        yield node
