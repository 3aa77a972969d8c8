"""A sidecar beside an upstream Gadgetron: health, metrics, workers and draining, as our node has.

The Gadgetron is left as it is. What it does is seen from outside: it is asked over its own
protocol, its connections are read from the kernel's table, and its log is counted.

`run_sidecar` does it blocking, with logs and signals, as the command `elastron sidecar`.
"""

from elastron.node.beside.serving import run_sidecar, serve
from elastron.node.beside.settings import SidecarSettings
from elastron.node.beside.sidecar import Sidecar

__all__ = ["Sidecar", "SidecarSettings", "run_sidecar", "serve"]
