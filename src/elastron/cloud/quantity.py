"""Kubernetes' quantities: `500m`, `1.5`, `2Gi`, `1e3`. Pure."""

from __future__ import annotations

import re

from elastron.errors import ConfigError

_FACTORS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)},
}
_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)")


def quantity(text: str) -> float:
    """A quantity as a number.

    Raises:
        ConfigError: it is none.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or found[2] not in _FACTORS:
        raise ConfigError(f"{text!r} is no quantity; write 2, 500m or 4Gi.")
    return float(found[1]) * _FACTORS[found[2]]
