"""What all tests share."""

import ast
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A slow machine is no failure; what is random in CI must be found again by everyone.
settings.register_profile(
    "elastron",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("elastron")

# A shell's background jobs ignore Ctrl-C, and so would the programs that tests end with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.version_info < (3, 11, 8):
    # Two parses at once confuse each other's depth there (python/cpython#106905), and hypothesis
    # parses the tests' own source.
    _parse = ast.parse

    def _parse_again(*args: Any, **options: Any) -> ast.AST:
        for _ in range(9):
            try:
                return _parse(*args, **options)
            except SystemError:
                continue
        return _parse(*args, **options)

    ast.parse = _parse_again  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(autouse=True)
def _logs_as_found() -> Iterator[None]:
    """structlog's `capture_logs` leaves it configured, as do our commands."""
    yield
    structlog.reset_defaults()
