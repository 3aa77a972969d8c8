"""Elastron: an elastic fleet of Gadgetrons. MR raw data in, images out.

The public names are listed in `__all__`; they are imported on first use, so that
`import elastron` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elastron.client import Client
    from elastron.errors import ElastronError
    from elastron.pipeline import reconstruct

__version__ = "0.1.0"

__all__ = ["Client", "ElastronError", "__version__", "reconstruct"]

_HOMES = {
    "Client": "elastron.client",
    "ElastronError": "elastron.errors",
    "reconstruct": "elastron.pipeline",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'elastron' has no attribute {name!r}")
