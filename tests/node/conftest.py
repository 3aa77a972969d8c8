from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import IMPATIENCE, NodeProcess, running_node


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that waits long for its clients, shared by the tests."""
    # Little patience with its own sessions: some ignore their cancel.
    folder = tmp_path_factory.mktemp("node")
    with running_node(folder, capacity=4, linger_timeout_s=60, cancel_grace_s=2) as node:
        yield node


@pytest.fixture(scope="package")
def impatient_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that soon gives its clients up, for the tests of that alone."""
    with running_node(tmp_path_factory.mktemp("impatient"), capacity=4, **IMPATIENCE) as node:
        yield node
