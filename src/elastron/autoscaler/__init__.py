"""The autoscaler: looks at the gateway's demand, decides with `elastron.fleet`, tells a backend.

`decide` is pure; `Autoscaler` is the loop around it; `Backend` is the port behind which the
processes of one machine stand, or the pods of a cluster.
"""

from elastron.autoscaler.loop import Autoscaler
from elastron.autoscaler.port import Backend, Source
from elastron.autoscaler.view import GatewaySource, View

__all__ = ["Autoscaler", "Backend", "GatewaySource", "Source", "View"]
