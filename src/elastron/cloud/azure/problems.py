"""What Azure says when it refuses, as an error that tells what to do.

Three families of answers are read: Azure Resource Manager's `{"error": {"code", "message",
"details", "innererror"}}`, also as the end of a long-running operation; the bare `{"code",
"message", "subcode"}` of the Kubernetes service; and Entra's `{"error", "error_description"}`.
The outermost code often says no more than "failed", and the reason lies several levels down, at
times as JSON inside a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from elastron.cloud.azure.problem_rule import Rule
from elastron.cloud.azure.problem_rules import RULES
from elastron.errors import CloudBusyError, CloudError, LoginError, NotAllowedError

# An answer deeper or wider than any that Azure gives is read no further.
_DEPTH_MAX = 8
_INNER_MAX = 50
_TEXT_MAX = 1 << 20
_SAID_MAX = 600

_LOGIN_CODE = re.compile(r"AADSTS\d{4,8}")
_XML = re.compile(r"<Code>([^<]{1,100})</Code>\s*<Message>([^<]{0,2000})", re.DOTALL)
# Links into the portal carry a page of encoded parameters, and ids help nobody but support.
_NOISE = re.compile(
    r"\s*(Setup Alerts when Quota reaches threshold\."
    r"|Learn more at https?://\S+ ?\."
    r"|Submit a request for Quota increase at .*"
    r"|(Please )?[Rr]ead more (about quota increase|here)? ?at https?://\S+"
    r"|Policy identifiers: '\[.*\]'\."
    r"|\(?[Cc]orrelation ?[Ii]d: ?'?[0-9a-f-]{36}'?\)?\.?"
    r"|The tracking id is '[0-9a-f-]{36}'\.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One level of what Azure says.

    Attributes:
        code: Azure's word for it; empty: none was given.
        message: for people.
        target: which part of the request, or which resource, is meant; often empty.
        policies: names of the policies that forbid it.
        inner: reasons, each with its own.
    """

    code: str
    message: str = ""
    target: str = ""
    policies: tuple[str, ...] = ()
    inner: tuple[Problem, ...] = ()

    def causes(self) -> Iterator[Problem]:
        """This problem and all inner ones, the deepest first."""
        for problem in self.inner:
            yield from problem.causes()
        yield self


def read_problem(body: bytes | str | Mapping[str, Any] | None) -> Problem:
    """What an answer says, whatever its form; an empty problem where it says nothing."""
    if isinstance(body, bytes):
        body = body[:_TEXT_MAX].decode(errors="replace")
    if isinstance(body, str):
        parsed = _json(body)
        if parsed is None:
            xml = _XML.search(body)
            return Problem(xml[1], xml[2]) if xml else Problem("", body.strip()[:_SAID_MAX])
        body = parsed
    return _problem(body, 0) if isinstance(body, Mapping) else Problem("")


def to_error(
    status: int | None, body: bytes | str | Mapping[str, Any] | None, *, doing: str
) -> CloudError:
    """The error for a refusal: what was tried, what Azure says, what to do.

    Args:
        status: of the answer; None: a long-running operation failed later.
        body: of the answer.
        doing: what was tried, such as `creating the node pool gpu`.

    Returns:
        Of the kind that fits; `CloudBusyError` where a later try may succeed.
    """
    whole = read_problem(body)
    start = doing[:1].upper() + doing[1:]
    for problem in whole.causes():
        for rule in RULES:
            found = rule.match(problem.code, problem.message)
            if found is not None:
                return _explained(start, problem, rule, found)
    deepest = next(whole.causes())
    code = deepest.code or whole.code
    said = _said(deepest.message or whole.message)
    sign = ", ".join(filter(None, (code, "" if status is None else f"HTTP {status}")))
    message = f"{start} failed" + (f" ({sign})" if sign else "")
    message += f": {said}" if said else "; Azure gives no reason."
    if status == 401:
        return LoginError(f"{message} Log in again: az login.", code=code)
    if status == 403:
        return NotAllowedError(f"{message} Ask an owner of the subscription.", code=code)
    if status is not None and (status == 429 or status >= 500):
        return CloudBusyError(f"{message} Run the command again; it goes on there.", code=code)
    return CloudError(message, code=code)


def no_token(said: str) -> CloudError:
    """The error for a credential that gives no token.

    Args:
        said: its own words, such as azure-identity's about each way it tried.
    """
    text = " ".join(said.split())
    code = _LOGIN_CODE.search(text)
    if code is not None:
        answer = {"error": code[0], "error_description": text[code.start() :]}
        return to_error(401, answer, doing="logging in to Azure")
    if "az login" in text or "failed to retrieve a token from the included" in text:
        return LoginError(
            "Nobody is logged in to Azure on this computer. Log in with az login; programs set "
            "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET.",
            code="CredentialUnavailable",
        )
    return LoginError(f"Azure gives no token: {_said(text)} Log in: az login.", code="NoToken")


def _explained(start: str, problem: Problem, rule: Rule, found: Mapping[str, str]) -> CloudError:
    policies = ", ".join(f"`{name}`" for name in problem.policies) or "not named"
    known = {"policies": policies, **found}
    title, advice = rule.title.format_map(known), rule.advice.format_map(known)
    said = _said(problem.message)
    if rule.quotes and said:
        advice = f"{said} {advice}"
    return rule.kind(f"{start}: {title} ({problem.code}). {advice}", code=problem.code)


def _said(message: str) -> str:
    """A message on one line, without what only support can use, and not endless."""
    text = " ".join(_NOISE.sub("", message).split())
    if len(text) > _SAID_MAX:
        text = text[: _SAID_MAX - 1].rstrip() + "…"
    return text if not text or text[-1] in ".!?…" else text + "."


def _problem(body: Mapping[str, Any], depth: int) -> Problem:
    body = _unwrapped(body)
    fields = {str(key).lower(): value for key, value in body.items()}
    code, message = _text(fields.get("code")), _text(fields.get("message"))
    if "error_description" in fields:  # Entra; its codes are in the text
        message = _text(fields["error_description"])
        found = _LOGIN_CODE.search(message)
        code = found[0] if found else _text(fields.get("error"))
        return Problem(code, message.partition(" Trace ID:")[0])
    inner: list[Problem] = []
    if depth < _DEPTH_MAX:
        reasons = [*_listed(fields.get("details")), *_listed(fields.get("innererror"))]
        nested = _json(message)
        if isinstance(nested, Mapping):
            reasons.append(nested)
            message = ""
        read = (_problem(reason, depth + 1) for reason in reasons[:_INNER_MAX])
        inner = [problem for problem in read if problem.code or problem.message]
    subcode = _text(fields.get("subcode"))
    if subcode and subcode != code:
        inner.append(Problem(subcode, message, _text(fields.get("target"))))
    return Problem(
        code,
        message,
        _text(fields.get("target")),
        tuple(_policies(fields.get("additionalinfo"), message)),
        tuple(inner),
    )


def _unwrapped(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The level on which code and message are."""
    for _ in range(_DEPTH_MAX):
        for key in ("error", "Error", "properties", "statusMessage"):
            inner = body.get(key)
            if isinstance(inner, Mapping) and "code" not in body and "Code" not in body:
                body = inner
                break
        else:
            return body
    return body


def _policies(additional: Any, message: str) -> Iterator[str]:
    """Names of the policies that an answer speaks of."""
    names: list[str] = []
    for entry in _listed(additional):
        info = entry.get("info")
        if entry.get("type") == "PolicyViolation" and isinstance(info, Mapping):
            name = info.get("policyAssignmentDisplayName") or info.get(
                "policyDefinitionDisplayName"
            )
            names.append(_text(name))
    if not any(names):
        names = re.findall(r'"policyAssignment":\{"name":"([^"]{1,200})"', message)
    yield from dict.fromkeys(filter(None, names))


def _listed(value: Any) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, Mapping)]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _json(text: str) -> Any:
    """The JSON object that a text is, or None."""
    text = text.strip()
    if not text.startswith("{") or len(text) > _TEXT_MAX:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
