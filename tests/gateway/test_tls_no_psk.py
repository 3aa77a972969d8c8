from __future__ import annotations

from pathlib import Path

import pytest

from elastron.errors import ElastronError
from tests.gateway.tls_parts import HAS_PSK, SECRET, key_file, listening, settings_of


@pytest.mark.skipif(HAS_PSK, reason="this Python has TLS-PSK")
async def test_python_without_psk_says_what_to_do(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"a:{SECRET}")
    with pytest.raises(ElastronError, match=r"needs Python 3\.13 or newer .* stunnel server"):
        async with listening(settings_of(psk_file=keys)):
            pass
