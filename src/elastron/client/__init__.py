"""The client: scans out, images in.

`Client.send` is the whole story for most; `ImageFile` stores images as the reference client does.
"""

from elastron.client.address import DEFAULT_PORT, Address, parse_address
from elastron.client.client import Client
from elastron.client.compression import Compression
from elastron.client.image_file import ImageFile
from elastron.client.result import (
    Progress,
    Result,
    ScanGarbledError,
    ScanLostError,
    ScanRefusedError,
    ScanStalledError,
    UnfinishedScanError,
)

__all__ = [
    "DEFAULT_PORT",
    "Address",
    "Client",
    "Compression",
    "ImageFile",
    "Progress",
    "Result",
    "ScanGarbledError",
    "ScanLostError",
    "ScanRefusedError",
    "ScanStalledError",
    "UnfinishedScanError",
    "parse_address",
]
