"""The client: scans out, images in.

`Client.send` is the whole story for most; `ImageFile` stores images as the reference client does.
`elastron.client.fetch` gets the images of a scan that was left with a gateway (it needs an HTTP
client, which is slow to import).
"""

from elastron.client.address import DEFAULT_PORT, Address, parse_address
from elastron.client.client import Client
from elastron.client.compression import Compression
from elastron.client.departure import Ticket
from elastron.client.image_file import ImageFile
from elastron.client.recorded import RecordedScan
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
    "RecordedScan",
    "Result",
    "ScanGarbledError",
    "ScanLostError",
    "ScanRefusedError",
    "ScanStalledError",
    "Ticket",
    "UnfinishedScanError",
    "parse_address",
]
