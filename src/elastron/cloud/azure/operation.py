"""Long-running operations of Azure Resource Manager: what an answer means, without any I/O.

The rules are the "Asynchronous operations" part of ARM's resource provider contract: a PUT or
DELETE answers 200, 201, 202 or 204; where the work goes on, `Azure-AsyncOperation` names a URL with
its status, `Location` one that answers 202 until it is done, or the resource's own
`properties.provisioningState` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from elastron.cloud.azure.resource import look_up

#: Between two looks at an operation where Azure names no time.
POLL_S = 10.0
#: Azure's word on when to look again counts up to this.
POLL_S_MAX = 60.0


class Watch(StrEnum):
    """What tells how far an operation is."""

    STATUS = "status"  # the URL of Azure-AsyncOperation
    LOCATION = "location"
    RESOURCE = "resource"  # itself
    ENDED = "ended"


@dataclass(frozen=True)
class Reply:
    """An answer of Azure Resource Manager.

    Attributes:
        status: HTTP's.
        body: JSON, or None where there was none.
        headers: names in small letters.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def wait_s(self, otherwise: float) -> float:
        """Seconds after which Azure wants to be asked again (Retry-After), else `otherwise`."""
        said = retry_after_s(self.headers)
        return otherwise if said is None else said


@dataclass
class Operation:
    """A change that Azure was asked for.

    Attributes:
        what: for people, such as `cluster mrrecon`.
        doing: for errors, such as `creating cluster mrrecon`.
        delete: whether it deletes; else it makes or changes.
        id: of the resource.
        api_version: to read it with.
        ends_by: on the caller's clock; after it the wait is given up.
        watch: what tells how far it is.
        url: to ask, for STATUS and LOCATION.
        look_at: on the caller's clock; earlier looks are not wanted.
        answer: the resource, once it is done.
    """

    what: str
    doing: str
    delete: bool
    id: str
    api_version: str
    ends_by: float
    watch: Watch = Watch.RESOURCE
    url: str | None = None
    look_at: float = 0.0
    answer: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended well."""
        return self.watch is Watch.ENDED

    def begin(self, reply: Reply, now: float) -> None:
        """Read the answer to the PUT or DELETE itself."""
        self.look_at = now + min(reply.wait_s(POLL_S), POLL_S_MAX)
        status_url = reply.headers.get("azure-asyncoperation")
        location = reply.headers.get("location")
        if status_url:
            self.watch, self.url = Watch.STATUS, status_url
        elif reply.status == 202 and location:
            self.watch, self.url = Watch.LOCATION, location
        elif self.delete and reply.status in (200, 204):
            self.watch = Watch.ENDED
        elif reply.status in (200, 201) and is_at_rest(reply.body):
            self.end(reply.body)
        else:
            self.watch = Watch.RESOURCE

    def end(self, answer: Any) -> None:
        """It is done."""
        self.watch, self.url = Watch.ENDED, None
        self.answer = answer if isinstance(answer, dict) else None

    def ask_resource(self) -> None:
        """From now on the resource itself tells."""
        self.watch, self.url = Watch.RESOURCE, None


def provisioning_state(body: Any) -> str:
    """Succeeded, Failed, Canceled, or a word such as Creating; Succeeded where none is told."""
    state = look_up(body, "properties.provisioningState")
    return state if isinstance(state, str) and state else "Succeeded"


def is_at_rest(body: Any) -> bool:
    """Whether no operation is at work on a resource, and the last one ended well."""
    return isinstance(body, dict) and provisioning_state(body) == "Succeeded"


def has_failed(state: str) -> bool:
    """Whether an operation's or resource's state says that it ended badly."""
    return state.lower() in ("failed", "canceled", "cancelled")


def is_busy(body: Any) -> bool:
    """Whether an operation is at work on a resource."""
    state = provisioning_state(body)
    return state != "Succeeded" and not has_failed(state)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds in Retry-After, which is a number or an HTTP date; None: it is not there."""
    milliseconds = headers.get("x-ms-retry-after-ms") or headers.get("retry-after-ms")
    said = headers.get("retry-after")
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        if said is None:
            return None
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(said or "")
        sent = parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, (then - sent).total_seconds())
