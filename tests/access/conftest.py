from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.fleet import Fleet
from tests.gateway.tls_parts import HAS_PSK, STUNNEL


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet that sites may come to."""
    if not HAS_PSK and STUNNEL is None:
        pytest.skip("needs Python 3.13 or stunnel (Debian: stunnel4)")
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    yield fleet
    assert fleet.server.stop() == 0
