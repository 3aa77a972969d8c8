"""Which refusals of Azure go away by waiting, and for how long that is tried."""

from __future__ import annotations

import re
from enum import Enum

from elastron.cloud.azure.operation import Reply
from elastron.cloud.azure.problems import read_problem


class Why(Enum):
    """Why a request is repeated: what is told, and seconds after which it is given up."""

    NO_ANSWER = ("Azure does not answer", 180.0)
    THROTTLED = ("Azure asks to send fewer requests", 900.0)
    BROKEN = ("Azure has a problem of its own", 180.0)
    BUSY = ("another operation is under way there", 2700.0)
    UNSEEN = ("what was just made is not known everywhere yet", 300.0)

    def __init__(self, told: str, patience_s: float) -> None:
        self.told = told
        self.patience_s = patience_s


_STATUSES = {
    408: Why.NO_ANSWER,
    429: Why.THROTTLED,
    500: Why.BROKEN,
    502: Why.BROKEN,
    503: Why.BROKEN,
    504: Why.BROKEN,
}
_BUSY = re.compile(
    r"in[ -]progress|another operation|is being (created|updated|deleted|processed)|concurrent"
    r"|has conflict with another|not in succeeded state|currently (being|executing)",
    re.IGNORECASE,
)
_BUSY_CODES = frozenset(
    {
        "anotheroperationinprogress",
        "concurrentfederatedidentitycredentialswritesforsinglemanagedidentity",
        "operationinprogress",
        "referencedresourcenotprovisioned",
        "requestconflict",
        "retryableerror",
        "storageaccountoperationinprogress",
    }
)
_UNSEEN_CODES = frozenset(
    {
        "invalidresourcereference",
        "parentresourcenotfound",
        "principalnotfound",
        "resourcegroupnotfound",
        "resourcenotfound",
    }
)
_NEVER_USED_CODES = frozenset({"missingsubscriptionregistration", "subscriptionnotregistered"})
_WRONG_QUESTION_CODES = frozenset(
    {"invalidresourcetype", "subscriptionnotfound", "invalidsubscriptionid"}
)


def why_wait(reply: Reply, *, builds_on: bool) -> Why | None:
    """Why this refusal may go away by itself; None: it will not.

    Args:
        reply: of status 400 or above.
        builds_on: the request names things that were made before, so that Azure's not knowing them
            (a replica that lags behind) is no final word.
    """
    if reply.status in _STATUSES:
        return _STATUSES[reply.status]
    if reply.status not in (400, 403, 404, 409, 412):
        return None
    for problem in read_problem(reply.body).causes():
        code = problem.code.lower()
        if code in _BUSY_CODES:
            return Why.BUSY
        going = code == "resourcegroupbeingdeleted"
        if reply.status == 409 and not going and _BUSY.search(problem.message):
            return Why.BUSY
        if builds_on and code in _UNSEEN_CODES:
            return Why.UNSEEN
    return None


def is_absence(reply: Reply) -> bool:
    """Whether a refusal to tell says that the thing is not there.

    Not so a 404 that says the question was wrong; but so, whatever its status, that the
    subscription never had anything of that service.
    """
    code = read_problem(reply.body).code.lower()
    if code in _NEVER_USED_CODES:
        return True
    return reply.status == 404 and code not in _WRONG_QUESTION_CODES
