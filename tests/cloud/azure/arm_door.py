"""The stand-in's HTTP semantics, whoever carries the bytes: log-in, waiting, pages, faults."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.cloud.azure.arm_errors import ArmError
from tests.cloud.azure.arm_ids import is_group, parse
from tests.cloud.azure.arm_kinds import KINDS
from tests.cloud.azure.arm_lookups import Lookups
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT, Azure, Item, Operation

Json = dict[str, Any]
_OPERATION = re.compile(
    r".*/locations/\w+/(operations|operationresults)/([0-9a-f-]+)", re.IGNORECASE
)
OLD = "old-token"
_VERSION = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")


class CutError(Exception):
    """The connection ends without an answer."""


class DeathError(BaseException):
    """Stands for the end of the client's process: no handler of errors sees it."""


@dataclass
class Seen:
    """A request as it came."""

    index: int
    method: str
    path: str
    query: dict[str, str]
    body: Json | None
    authorization: str
    status: int = 0

    @property
    def changes(self) -> bool:
        """Whether it is one that asks for a change."""
        return self.method in ("PUT", "PATCH", "DELETE")

    @property
    def line(self) -> str:
        """For messages."""
        return f"{self.method} {self.path.rsplit('/providers/', 1)[-1]}"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request.

    Attributes:
        status: of the answer; 0: the connection is cut.
        done: whether the request is carried out all the same.
        death: the client's process dies in place of an answer.
    """

    status: int = 0
    code: str = "InternalServerError"
    message: str = "The server has a problem."
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False
    death: bool = False


@dataclass
class Answer:
    """What goes back."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Door:
    """One endpoint of Azure Resource Manager.

    Attributes:
        tokens: bearer tokens that are good.
        fault: asked for each request.
        page: entries of one page of a list.
        retry_after: seconds that waiting clients are told; None: nothing is told.
    """

    def __init__(self, azure: Azure) -> None:
        self.azure = azure
        self.lookups = Lookups(azure)
        self.seen: list[Seen] = []
        self.tokens = {"good-token"}
        self.fault: Callable[[Seen], Fault | None] = lambda seen: None
        self.page = 100
        self.retry_after: int | None = 10
        self._lock = threading.RLock()
        self.package_url = "https://nfvprodsuppby.blob.core.windows.net/profile/x.zip?sig=s3cret"
        self._later: dict[str, tuple[float, Json | str]] = {}

    @property
    def writes(self) -> list[Seen]:
        """The requests so far that ask for changes."""
        return [seen for seen in self.seen if seen.changes]

    def answer(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Carry out one request.

        Raises:
            CutError: the connection is to end instead.
        """
        with self._lock:
            parts = urlsplit(url)
            seen = Seen(
                len(self.seen),
                method,
                unquote(parts.path),
                dict(parse_qsl(parts.query)),
                json.loads(body) if body else None,
                headers.get("authorization", ""),
            )
            self.seen.append(seen)
            fault = self.fault(seen)
            if fault is not None and not fault.done:
                out = self._failed(fault)
            else:
                out = self._answer(seen, f"{parts.scheme}://{parts.netloc}")
                if fault is not None:
                    out = self._failed(fault)
            seen.status = out.status
            out.headers.setdefault("x-ms-request-id", str(uuid.uuid4()))
            out.headers.setdefault("x-ms-correlation-request-id", str(uuid.uuid4()))
            return out

    def _failed(self, fault: Fault) -> Answer:
        if fault.death:
            raise DeathError
        if not fault.status:
            raise CutError
        return Answer(
            fault.status,
            {"error": {"code": fault.code, "message": fault.message}},
            dict(fault.headers),
        )

    def _answer(self, seen: Seen, base: str) -> Answer:
        try:
            self._check(seen)
            self.azure.settle()
            return self._route(seen, base)
        except ArmError as error:
            return Answer(error.status, error.body, dict(error.headers))

    def _check(self, seen: Seen) -> None:
        kind, _, given = seen.authorization.partition(" ")
        if kind != "Bearer" or given not in self.tokens:
            code = "ExpiredAuthenticationToken" if given == OLD else "AuthenticationFailed"
            message = (
                "The access token expiry UTC time '1/1/2026 0:00:00 AM' is earlier than current "
                "UTC time."
                if given == OLD
                else "Authentication failed."
            )
            challenge = (
                f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT}", '
                'error="invalid_token", error_description="The access token is invalid."'
            )
            raise ArmError(401, code, message, headers={"WWW-Authenticate": challenge})
        version = seen.query.get("api-version")
        if version is None or not _VERSION.fullmatch(version):
            raise ArmError(
                400, "MissingApiVersionParameter", "The api-version query parameter is required."
            )
        if seen.path.lower().startswith("/subscriptions/"):
            wanted = seen.path.split("/")[2]
            if wanted.lower() != SUBSCRIPTION:
                raise ArmError(
                    404, "SubscriptionNotFound", f"The subscription '{wanted}' could not be found."
                )

    def _route(self, seen: Seen, base: str) -> Answer:  # noqa: PLR0911
        path, azure = seen.path.rstrip("/"), self.azure
        waiting = _OPERATION.fullmatch(path)
        if waiting is not None:
            return self._progress(waiting[2], asynchronous=waiting[1].lower() == "operations")
        if seen.method in ("PUT", "PATCH"):
            if not isinstance(seen.body, dict):
                raise ArmError(400, "InvalidRequestContent", "The request content was invalid.")
            status, item, operation = azure.put(path, seen.body, patch=seen.method == "PATCH")
            return self._made(status, item, operation, base)
        if seen.method == "DELETE":
            status, operation = azure.delete(path, seen.query)
            if operation is None:
                return Answer(status)
            return Answer(status, None, self._wait_headers(operation, path, base, location=True))
        if seen.method == "POST":
            if path.lower().endswith("/generatevpnprofile"):
                return self._package(path, seen, base)
            done = self.lookups.post(path, seen.body or {})
            if done is None:
                raise ArmError(404, "NotFound", f"No action {path}.")
            return Answer(*done)
        if seen.method in ("GET", "HEAD"):
            found = self.lookups.get(path, seen.query)
            if found is not None:
                return Answer(200, self._paged(found, seen, base))
            return Answer(200, self._resource(path))
        raise ArmError(405, "MethodNotAllowed", f"{seen.method} is not allowed here.")

    def _resource(self, path: str) -> Json:
        azure = self.azure
        if azure.find(path) is None and azure.implied(path):
            parsed = parse(path)
            assert parsed is not None
            return {"id": path, "name": parsed.name, "type": parsed.type, "properties": {}}
        parsed = parse(path)
        if parsed is not None:
            azure.check_registered(parsed.type.split("/")[0])
        elif not is_group(path):
            raise ArmError(404, "InvalidResourceType", f"Nothing is at {path}.")
        return azure.get(path)

    def _made(self, status: int, item: Item, operation: Operation | None, base: str) -> Answer:
        shown = self.azure.shown(item)
        if operation is None:
            return Answer(status, shown)
        how = KINDS[item.type.lower()].answer
        if how == "body":
            return Answer(status, shown)
        headers = self._wait_headers(operation, item.id, base, location=how == "location")
        return Answer(202, None, headers) if how == "location" else Answer(status, shown, headers)

    def _package(self, path: str, seen: Seen, base: str) -> Answer:
        """A package for the clients of a VPN gateway: its address comes a minute later."""
        gateway = self.azure.find(path.rpartition("/")[0])
        if gateway is None:
            raise self.azure.missing(path.rpartition("/")[0])
        if gateway.state != "Succeeded":
            raise ArmError(
                409,
                "AnotherOperationInProgress",
                "Another operation on this resource is in progress.",
            )
        if (seen.body or {}).get("authenticationMethod") != "EAPTLS":
            raise ArmError(400, "InvalidRequestContent", "authenticationMethod is not supported.")
        name = str(uuid.uuid4())
        self._later[name] = (self.azure.clock.now() + 60, self.package_url)
        root = f"{base}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/locations/westus2"
        where = f"{root}/operationresults/{name}?api-version=2016-08-30"
        return Answer(202, None, {"Location": where} | self._patience())

    def _wait_headers(
        self, operation: Operation, target: str, base: str, *, location: bool
    ) -> dict[str, str]:
        parsed = parse(target)
        namespace = parsed.type.split("/")[0] if parsed else "Microsoft.Resources"
        root = f"{base}/subscriptions/{SUBSCRIPTION}/providers/{namespace}/locations/westus2"
        headers = {}
        if location:
            headers["Location"] = f"{root}/operationresults/{operation.id}?api-version=2016-08-30"
        if not location or (
            operation.deed == "delete" and parsed and parsed.type.startswith("Microsoft.Co")
        ):
            headers["Azure-AsyncOperation"] = (
                f"{root}/operations/{operation.id}?api-version=2016-08-30"
            )
        return headers | self._patience()

    def _patience(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def _progress(self, name: str, *, asynchronous: bool) -> Answer:
        if name in self._later:
            ready_at, answer = self._later[name]
            if self.azure.clock.now() < ready_at:
                return Answer(202, None, self._patience())
            return Answer(200, answer)
        operation = self.azure.operations.get(name)
        if operation is None:
            raise ArmError(404, "OperationNotFound", f"The operation {name} was not found.")
        if asynchronous:
            body: Json = {"id": name, "name": name, "status": operation.status}
            if operation.error is not None:
                body["error"] = operation.error
            waiting = operation.status == "InProgress"
            return Answer(200, body, self._patience() if waiting else {})
        if operation.status == "InProgress":
            return Answer(202, None, self._patience())
        if operation.status == "Failed":
            return Answer(409, {"error": operation.error})
        item = self.azure.items.get(operation.target)
        return Answer(204) if item is None else Answer(200, self.azure.shown(item))

    def _paged(self, found: Json, seen: Seen, base: str) -> Json:
        entries = found.get("value")
        if not isinstance(entries, list):
            return found
        at = int(seen.query.get("$skiptoken", 0))
        out = {**found, "value": entries[at : at + self.page]}
        if at + self.page < len(entries):
            query = {**seen.query, "$skiptoken": str(at + self.page)}
            text = "&".join(f"{name}={quote(value)}" for name, value in query.items())
            out["nextLink"] = f"{base}{quote(seen.path)}?{text}"
        return out
