"""When one of Azure's refusals is meant, and what is said then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from elastron.errors import CloudError


@dataclass(frozen=True)
class Rule:
    """When it fits, and what is said then.

    Attributes:
        kind: of the error.
        title: what is wrong, in a few words.
        advice: what to do; here and in the title `{name}` is a group of
            `pattern`, `{policies}` names those that forbid it.
        codes: of which one must be the problem's, whatever the case; empty: any code.
        pattern: that must be found in the message; its named groups go into the advice.
        quotes: whether Azure's own words are of use besides.
    """

    kind: type[CloudError]
    title: str
    advice: str
    codes: frozenset[str] = frozenset()
    pattern: str = ""
    quotes: bool = True

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE | re.DOTALL)

    def match(self, code: str, message: str) -> Mapping[str, str] | None:
        """The pattern's groups where the rule fits, else None."""
        if self.codes and code.lower() not in self.codes:
            return None
        found = self._compiled.search(message)
        return None if found is None else {k: v or "" for k, v in found.groupdict().items()}
