"""Azure Resource Manager's REST interface, by Azure's own pipeline.

One request at a time, each with a limit; what goes away by waiting is waited for and told. Long
operations are begun here and looked at when their time has come, so that several can go on at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from azure.core import PipelineClient
from azure.core.exceptions import (
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import HeadersPolicy, RequestIdPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

from elastron import __version__
from elastron.cloud.azure.arm_answers import (
    as_object,
    failure_of,
    not_logged_in,
    parsed,
    query_words,
    short,
    unreachable,
)
from elastron.cloud.azure.clock import Clock, SystemClock
from elastron.cloud.azure.operation import (
    POLL_S,
    POLL_S_MAX,
    Operation,
    Reply,
    Watch,
    has_failed,
    is_busy,
    provisioning_state,
)
from elastron.cloud.azure.patience import Why, is_absence, why_wait
from elastron.cloud.azure.problems import to_error
from elastron.errors import CloudError, DeadlineError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport

PUBLIC = "https://management.azure.com"
#: Making or deleting one resource; a VPN gateway takes up to three quarters of an hour.
OPERATION_S = 5400.0
#: Making something that is no resource.
ACTION_S = 900.0
_CONNECT_S = 15
_READ_S = 90
_PAUSE_S_FIRST, _PAUSE_S_MAX = 1.0, 30.0
_PAGES_MAX = 1000
_BODY_MAX = 64 << 20


class Arm:
    """Azure Resource Manager.

    Args:
        credential: gives tokens; never logged.
        endpoint: of the cloud; https only.
        audience: for which tokens are asked.
        transport: carries the requests; None: Azure's own, which heeds HTTPS_PROXY.
        clock: for pauses and limits.
        tell: called with a line where something is waited for.
    """

    def __init__(
        self,
        credential: TokenCredential,
        *,
        endpoint: str = PUBLIC,
        audience: str = PUBLIC,
        transport: HttpTransport[Any, Any] | None = None,
        clock: Clock | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.tell = tell or (lambda line: None)
        self._endpoint = endpoint.rstrip("/")
        self._host = urlsplit(self._endpoint).netloc.lower()
        more: dict[str, Any] = {} if transport is None else {"transport": transport}
        self._client = PipelineClient(
            self._endpoint,
            policies=[
                RequestIdPolicy(),
                HeadersPolicy({"Accept": "application/json"}),
                UserAgentPolicy(base_user_agent=f"elastron/{__version__}"),
                ARMChallengeAuthenticationPolicy(credential, f"{audience}/.default"),
            ],
            **more,
        )

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def __enter__(self) -> Arm:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- single requests -----------------------------------------------------------------------

    def get(self, path: str, api_version: str, **query: str) -> dict[str, Any] | None:
        """A resource or another answer; None: it is not there.

        Args:
            path: from /subscriptions on.
            api_version: of the resource's type.
            query: further parameters.

        Raises:
            CloudError: Azure refuses.
            DeadlineError: it does not answer.
        """
        reply = self._send("GET", self._url(path, api_version, query), f"reading {short(path)}")
        return None if reply.status >= 400 else as_object(reply, path)

    def list(self, path: str, api_version: str, **query: str) -> list[dict[str, Any]]:
        """All entries of a list, page after page; a parent that is not there has none."""
        out: list[dict[str, Any]] = []
        url: str | None = self._url(path, api_version, query)
        for _ in range(_PAGES_MAX):
            reply = self._send("GET", url, f"listing {short(path)}")
            if reply.status >= 400:
                return out
            page = as_object(reply, path)
            out.extend(page.get("value") or [])
            url = page.get("nextLink")
            if not url:
                return out
        raise CloudError(f"Listing {short(path)} does not end; Azure gives page after page.")

    def post(self, path: str, api_version: str, body: Any = None, **query: str) -> dict[str, Any]:
        """The answer to an action that may be repeated (credentials, a name's check, ...)."""
        doing = f"asking for {short(path)}"
        given = {} if body is None else body
        reply = self._send("POST", self._url(path, api_version, query), doing, given)
        if reply.status >= 400:
            raise to_error(reply.status, reply.body, doing=doing)
        return as_object(reply, path) if reply.body is not None else {}

    def act(self, path: str, api_version: str, body: Any, what: str) -> Any:
        """The answer to an action that takes a while (a package that is made, ...).

        Args:
            path: id of a resource, and the action.
            api_version: of the resource's type.
            body: JSON.
            what: for people.

        Raises:
            CloudError: Azure refuses.
            DeadlineError: it does not answer, or takes too long.
        """
        doing = f"asking for {what}"
        ends_by = self.clock.now() + ACTION_S
        reply = self._send("POST", self._url(path, api_version), doing, body)
        url: str | None = None
        while reply.status == 202:
            url = reply.headers.get("location") or url
            if self.clock.now() > ends_by:
                raise DeadlineError(
                    f"Azure has not made {what} within {ACTION_S:.0f} s. Try again."
                )
            self.clock.sleep(min(reply.wait_s(POLL_S), POLL_S_MAX))
            reply = self._send("GET", self._own(url), doing)
        if reply.status >= 400:
            raise to_error(reply.status, reply.body, doing=doing)
        return reply.body

    # -- changes -------------------------------------------------------------------------------

    def begin_put(
        self, path: str, api_version: str, body: Mapping[str, Any], what: str, *, new: bool = True
    ) -> Operation:
        """Make or change a resource; the operation may go on after this returns.

        Args:
            path: id of the resource.
            api_version: of its type.
            body: JSON.
            what: for people.
            new: for messages; otherwise it is changed.
        """
        doing = f"{'creating' if new else 'changing'} {what}"
        reply = self._send("PUT", self._url(path, api_version), doing, body, builds_on=True)
        return self._begun(reply, self._operation(path, api_version, what, doing))

    def begin_delete(self, path: str, api_version: str, what: str, **query: str) -> Operation:
        """Delete a resource; one that is not there is deleted already."""
        doing = f"deleting {what}"
        reply = self._send("DELETE", self._url(path, api_version, query), doing)
        if reply.status >= 400:
            reply = Reply(204, None)
        return self._begun(reply, self._operation(path, api_version, what, doing, delete=True))

    def watch(self, path: str, api_version: str, what: str, *, delete: bool = False) -> Operation:
        """An operation that somebody else began, perhaps we ourselves in an earlier life."""
        doing = f"{'deleting' if delete else 'making'} {what}"
        operation = self._operation(path, api_version, what, doing, delete=delete)
        operation.look_at = self.clock.now()
        return operation

    def look(self, operation: Operation) -> None:
        """See how far an operation is, once its time has come.

        Raises:
            CloudError: it failed.
            DeadlineError: it lasted too long; it may still end well.
        """
        now = self.clock.now()
        if operation.done or now < operation.look_at:
            return
        operation.look_at = now + POLL_S
        if operation.watch is Watch.STATUS:
            self._look_at_status(operation)
        elif operation.watch is Watch.LOCATION:
            self._look_at_location(operation)
        if operation.watch is Watch.RESOURCE:
            self._look_at_resource(operation)
        # Asked first: a machine that was suspended knows nothing of the end.
        if now > operation.ends_by and not operation.done:
            raise DeadlineError(
                f"{operation.what} is still under way at Azure after {OPERATION_S / 60:.0f} "
                "minutes. Run the command again to go on waiting; the portal shows more."
            )

    def wait(self, operation: Operation) -> dict[str, Any] | None:
        """Wait until an operation has ended; the resource, or None after a deletion."""
        while not operation.done:
            self.clock.sleep(max(0.0, operation.look_at - self.clock.now()))
            self.look(operation)
        return operation.answer

    def put(
        self, path: str, api_version: str, body: Mapping[str, Any], what: str
    ) -> dict[str, Any]:
        """Make or change a resource, and wait for it."""
        return self.wait(self.begin_put(path, api_version, body, what)) or {}

    def delete(self, path: str, api_version: str, what: str, **query: str) -> None:
        """Delete a resource, and wait until it is gone."""
        self.wait(self.begin_delete(path, api_version, what, **query))

    # -- how it is done ------------------------------------------------------------------------

    def _operation(
        self, path: str, api_version: str, what: str, doing: str, *, delete: bool = False
    ) -> Operation:
        ends_by = self.clock.now() + OPERATION_S
        return Operation(what, doing, delete, path, api_version, ends_by)

    def _begun(self, reply: Reply, operation: Operation) -> Operation:
        operation.begin(reply, self.clock.now())
        return operation

    def _look_at_status(self, operation: Operation) -> None:
        reply = self._send("GET", self._own(operation.url), f"waiting for {operation.what}")
        body = reply.body if isinstance(reply.body, dict) else {}
        state = str(body.get("status", ""))
        if reply.status >= 400 or state.lower() == "succeeded":
            operation.ask_resource()
        elif has_failed(state):
            raise to_error(None, body, doing=operation.doing)
        else:
            self._again(operation, reply)

    def _look_at_location(self, operation: Operation) -> None:
        # Its answer is the operation's own: a refusal here is not one of this GET.
        reply = self._send(
            "GET", self._own(operation.url), f"waiting for {operation.what}", raises=False
        )
        if reply.status == 202:
            self._again(operation, reply)
        elif reply.status < 300 or reply.status == 404:
            operation.ask_resource()
        else:
            raise to_error(reply.status, reply.body, doing=operation.doing)

    def _look_at_resource(self, operation: Operation) -> None:
        url = self._url(operation.id, operation.api_version)
        reply = self._send("GET", url, f"waiting for {operation.what}")
        if reply.status >= 400:  # it is not there
            if operation.delete:
                operation.end(None)
                return  # else it is not known here yet: its deadline counts
        elif not operation.delete and has_failed(provisioning_state(reply.body)):
            raise to_error(None, failure_of(reply.body), doing=operation.doing)
        elif not operation.delete and not is_busy(reply.body):
            operation.end(reply.body)
            return
        self._again(operation, reply)

    def _again(self, operation: Operation, reply: Reply) -> None:
        operation.look_at = self.clock.now() + min(reply.wait_s(POLL_S), POLL_S_MAX)

    def _url(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> str:
        words = urlencode({"api-version": api_version, **query_words(query or {})}, quote_via=quote)
        return f"{self._endpoint}{quote(path)}?{words}"

    def _own(self, url: str | None) -> str:
        """A URL that Azure gave, if the token may go there."""
        parts = urlsplit(url or "")
        host = parts.netloc.lower()
        if parts.scheme != "https" or (host != self._host and not host.endswith("." + self._host)):
            raise CloudError(
                f"Azure names an address of another host ({host[:100]}); not followed."
            )
        return url or ""

    def _send(
        self,
        method: str,
        url: str | None,
        doing: str,
        body: Any = None,
        *,
        builds_on: bool = False,
        raises: bool = True,
    ) -> Reply:
        """Send a request until there is an answer that waiting does not change.

        That a thing is not there is an answer; other refusals are raised where `raises`.
        """
        url = self._own(url)
        began, pause_s = self.clock.now(), _PAUSE_S_FIRST
        told: set[Why] = set()
        while True:
            try:
                reply = self._once(method, url, body)
                if reply.status < 400 or (is_absence(reply) and not builds_on):
                    return reply
                why = why_wait(reply, builds_on=builds_on)
                if why is None and not raises:
                    return reply
                error: Exception = to_error(reply.status, reply.body, doing=doing)
            except (ServiceRequestError, ServiceResponseError) as problem:
                reply, why = Reply(0, None), Why.NO_ANSWER
                error = unreachable(doing, problem)
            if why is None:
                raise error
            wait_s = reply.wait_s(POLL_S if why is Why.BUSY else pause_s)
            if self.clock.now() - began + wait_s > why.patience_s:
                raise error
            if why not in told:
                told.add(why)
                self.tell(f"{doing}: {why.told}; it is tried again")
            self.clock.sleep(wait_s)
            pause_s = min(pause_s * 2, _PAUSE_S_MAX)

    def _once(self, method: str, url: str, body: Any) -> Reply:
        headers = {}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = HttpRequest(method, url, headers=headers, content=content)
        try:
            response = self._client.send_request(
                request, connection_timeout=_CONNECT_S, read_timeout=_READ_S
            )
            text = response.read()
        except ClientAuthenticationError as error:
            raise not_logged_in(error) from error
        if len(text) > _BODY_MAX:
            raise CloudError(f"Azure's answer of {len(text)} bytes is too long to be one.")
        got = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, parsed(text), got)
