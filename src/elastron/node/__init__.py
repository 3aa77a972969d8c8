"""A reconstruction node: scans in at port 9002, images out on the same connection.

    async with Node(NodeSettings(listen="127.0.0.1:0")) as node:
        ...  # node.port

`run_node` does it blocking, with logs and signals, as the command `elastron node`.
"""

from elastron.node.outcome import Outcome
from elastron.node.serving import run_node, serve
from elastron.node.settings import NodeSettings, available_cores
from elastron.node.supervisor import Node
from elastron.service.address import Address
from elastron.service.logs import LogFormat

__all__ = [
    "Address",
    "LogFormat",
    "Node",
    "NodeSettings",
    "Outcome",
    "available_cores",
    "run_node",
    "serve",
]
