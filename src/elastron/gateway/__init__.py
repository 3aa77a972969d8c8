"""The fleet's front door: places every scan, keeps it, and replays it when its node fails.

    async with Gateway(GatewaySettings(registry={"nodes": ["127.0.0.1:9003"]})) as gateway:
        ...  # gateway.address

`run_gateway` does it blocking, with logs and signals, as the command `elastron gateway`.
"""

from elastron.gateway.server import Gateway
from elastron.gateway.serving import run_gateway, serve
from elastron.gateway.settings import GatewaySettings, JournalSettings

__all__ = ["Gateway", "GatewaySettings", "JournalSettings", "run_gateway", "serve"]
