"""Blobs in Azure Blob storage or an S3-compatible store, through obstore.

An upload becomes visible as a whole when it is completed, in both. Uploads that a crash cuts
off leave parts that no reader sees: Azure drops them after a week; for S3, give the bucket a
lifecycle rule (AbortIncompleteMultipartUpload).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import AzureStore, ObjectStore, S3Store

from elastron.errors import ConfigError, StorageUnavailableError
from elastron.storage.identity import BlobId
from elastron.storage.instants import http_date, now_ms
from elastron.storage.problems import BlobMissingError

PART_BYTES = 5 << 20
"""Smallest part that S3 takes, and so the least memory for one upload."""

# obstore's own, and Python's FileNotFoundError for an object that is not there.
_ERRORS = (BaseError, OSError)

PARTS_AT_ONCE = 2
READ_BYTES = 1 << 20
AZURE_CONTAINER = "mrd-storage-server"
_EMULATOR = {  # public constants of Azure's own emulators
    "accountname": "devstoreaccount1",
    "accountkey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
    "K1SZFPTOtr/KBHBeksoGMGw==",
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
# Silence ends a request; its length does not, for a blob may be long and its reader slow.
_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(hours=4),
}
_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}


class CloudStore:
    """Blobs in an object store."""

    def __init__(self, store: ObjectStore, *, create: CreateContainer | None = None) -> None:
        self._store = store
        self._create = create

    async def start(self, instance: str) -> Sequence[str]:
        """Make the container if that is ours to do, and look whether it answers."""
        if self._create is not None:
            await self._create.run()
        await self.check()
        return ()

    async def save(self, key: BlobId, chunks: AsyncIterator[bytes]) -> int:
        """Store all of `chunks`, or nothing."""
        counted = _Parts(chunks)
        try:
            await obstore.put_async(
                self._store,
                key.path,
                counted,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        except Exception as error:
            # obstore wraps what the body's reader raised; that one tells what happened.
            if counted.error is not None:
                raise counted.error from error
            raise _translated(error) from error
        return counted.size

    async def size(self, key: BlobId) -> int:
        """Bytes of a blob."""
        try:
            return (await obstore.head_async(self._store, key.path))["size"]
        except _ERRORS as error:
            raise _translated(error) from error

    async def read(self, key: BlobId, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Open bytes `start` to `stop` (exclusive)."""
        if start == stop:  # a range of no bytes cannot be asked for
            await self.size(key)
            return _nothing()
        try:
            found = await obstore.get_async(self._store, key.path, options={"range": (start, stop)})
        except _ERRORS as error:
            raise _translated(error) from error
        if found.range != (start, stop):
            raise BlobMissingError("A blob is shorter than its record says.")
        return _stream(found)

    async def delete(self, key: BlobId) -> None:
        """Remove a blob."""
        try:
            await obstore.delete_async(self._store, key.path)
        except (NotFoundError, FileNotFoundError):
            pass
        except _ERRORS as error:
            raise _translated(error) from error

    async def check(self) -> None:
        """Return if the container answers."""
        try:
            await obstore.list_with_delimiter_async(self._store, prefix="healthcheck")
        except _ERRORS as error:
            raise StorageUnavailableError(
                "The blob container does not answer, does not exist, or refuses us."
            ) from error

    async def close(self) -> None:
        """Nothing to let go of."""


class _Parts:
    """The body as an async iterator of parts of the size that the store wants, counted."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.size = 0
        self.error: BaseException | None = None
        self._chunks = chunks
        self._ended = False

    def __aiter__(self) -> _Parts:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        part = bytearray()
        try:
            async for chunk in self._chunks:
                part += chunk
                if len(part) >= PART_BYTES:
                    break
            else:
                self._ended = True
        except BaseException as error:
            self.error = error
            raise
        self.size += len(part)
        if not part and self._ended:
            raise StopAsyncIteration
        return bytes(part)


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""


async def _stream(found: obstore.GetResult) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in found.stream(min_chunk_size=READ_BYTES):
            yield bytes(chunk)
    except _ERRORS as error:
        raise _translated(error) from error


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, (NotFoundError, FileNotFoundError)):
        return BlobMissingError("A blob is not in the blob store.")
    if isinstance(error, (BaseError, OSError)):
        # The library's text names the URL, and with it the subject: it stays out of logs.
        return StorageUnavailableError("The blob store does not answer, or refuses us.")
    return error


def _client(endpoint: str | None) -> Any:
    # Without TLS only where the endpoint's own URL says so: an emulator, a server nearby.
    return {**_TIMEOUTS, "allow_http": (endpoint or "").startswith("http:")}


def open_azure(connection_string: str) -> CloudStore:
    """Open a container of Azure Blob storage.

    Args:
        connection_string: the portal's `DefaultEndpointsProtocol=…;AccountName=…;…`, where the
            container is `mrd-storage-server` (or `Container=…`) and is made if it is missing;
            or `azure://<account>/<container>` for a managed or workload identity, or any other
            credential that the environment holds (AZURE_CLIENT_ID, AZURE_TENANT_ID,
            AZURE_FEDERATED_TOKEN_FILE, …).

    Raises:
        ConfigError: neither of the two.
    """
    if connection_string.startswith("azure://"):
        parts = urlsplit(connection_string)
        container = parts.path.strip("/") or AZURE_CONTAINER
        if not parts.hostname or "/" in container:
            raise ConfigError("Write Azure storage as azure://<account>/<container>.")
        return CloudStore(
            AzureStore(
                container_name=container,
                account_name=parts.hostname,
                client_options=_client(None),
                retry_config=_RETRIES,
            )
        )
    fields = _azure_fields(connection_string)
    container = fields.get("container", AZURE_CONTAINER)
    endpoint = _azure_endpoint(fields)
    options: dict[str, Any] = {"account_name": fields["accountname"], "endpoint": endpoint}
    create = None
    if "sharedaccesssignature" in fields:
        options["sas_key"] = fields["sharedaccesssignature"].lstrip("?")
    else:
        options["account_key"] = fields["accountkey"]
        create = CreateContainer(endpoint, container, fields["accountname"], fields["accountkey"])
    store = AzureStore(
        container_name=container,
        client_options=_client(endpoint),
        retry_config=_RETRIES,
        **options,
    )
    return CloudStore(store, create=create)


def _azure_fields(connection_string: str) -> dict[str, str]:
    words: Iterable[str] = (word for word in connection_string.split(";") if word.strip())
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (word.partition("=") for word in words)
    }
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        fields = {**_EMULATOR, **fields}
    secret = "accountkey" in fields or "sharedaccesssignature" in fields
    if "accountname" not in fields or not secret:
        raise ConfigError(
            "The Azure connection string lacks AccountName, or AccountKey or "
            "SharedAccessSignature. Copy it whole from the storage account's access keys, or use "
            "azure://<account>/<container> with a managed identity."
        )
    return fields


def _azure_endpoint(fields: dict[str, str]) -> str:
    if "blobendpoint" in fields:
        return fields["blobendpoint"].rstrip("/")
    protocol = fields.get("defaultendpointsprotocol", "https")
    suffix = fields.get("endpointsuffix", "core.windows.net")
    return f"{protocol}://{fields['accountname']}.blob.{suffix}"


class CreateContainer:
    """Makes the Azure container where it is missing, as the original does.

    obstore knows no containers, so this is one request of the Blob service's REST API
    ("Create Container", "Authorize with Shared Key").
    """

    def __init__(self, endpoint: str, container: str, account: str, key: str) -> None:
        self._url = f"{endpoint}/{container}?restype=container"
        self._path = urlsplit(f"{endpoint}/{container}").path
        self._account = account
        self._key = key

    async def run(self) -> None:
        """Send the request.

        Raises:
            StorageUnavailableError: no answer.
            ConfigError: a refusal.
        """
        date, version = http_date(now_ms()).decode(), "2021-08-06"
        signed = "\n".join(
            (
                "PUT",
                *[""] * 11,  # standard headers, none of them sent
                f"x-ms-date:{date}",
                f"x-ms-version:{version}",
                f"/{self._account}{self._path}",
                "restype:container",
            )
        )
        try:
            digest = hmac.digest(base64.b64decode(self._key), signed.encode(), hashlib.sha256)
        except ValueError as error:
            raise ConfigError("AccountKey in the Azure connection string is no base64.") from error
        signature = base64.b64encode(digest).decode()
        headers = {
            "x-ms-date": date,
            "x-ms-version": version,
            "authorization": f"SharedKey {self._account}:{signature}",
        }
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await self._put(client, headers)
        # 409: it is there already.
        if answer.status_code not in (201, 409):
            raise ConfigError(
                f"Azure Blob storage refuses to make the container ({answer.status_code} "
                f"{answer.headers.get('x-ms-error-code', '')}). Check AccountName and AccountKey."
            )

    async def _put(self, client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
        for pause_s in (0.2, 0.4, 0.8, 1.6, 0.0):
            try:
                return await client.put(self._url, headers=headers)
            except httpx.HTTPError:
                await asyncio.sleep(pause_s)
        raise StorageUnavailableError("Azure Blob storage does not answer at its endpoint.")


def open_s3(url: str) -> CloudStore:
    """Open a bucket of an S3-compatible store.

    Args:
        url: `s3://<bucket>/<prefix>?region=…&endpoint=…`; prefix and parameters are optional.
            Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
            web identity, instance profile), never from the URL.

    Raises:
        ConfigError: not such a URL.
    """
    parts = urlsplit(url)
    parameters = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = parameters.keys() - {"region", "endpoint"}
    if not parts.netloc or unknown or "@" in parts.netloc:
        raise ConfigError("Write S3 storage as s3://<bucket>/<prefix>?region=…&endpoint=….")
    endpoint = parameters.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {}
    if endpoint:
        options = {"endpoint": endpoint.rstrip("/"), "virtual_hosted_style_request": False}
    region = parameters.get("region") or os.environ.get("AWS_REGION")
    if region or endpoint:
        options["region"] = region or "us-east-1"
    return CloudStore(
        S3Store(
            parts.netloc,
            prefix=unquote(parts.path.strip("/")) or None,
            client_options=_client(endpoint),
            retry_config=_RETRIES,
            **options,
        )
    )
