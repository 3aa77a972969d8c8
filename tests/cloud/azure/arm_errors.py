"""Refusals of the stand-in."""

from __future__ import annotations

from typing import Any


class ArmError(Exception):
    """An answer that is a refusal.

    Args:
        flat: AKS writes its errors without the `error` around them.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        flat: bool = False,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.headers = headers or {}
        inner: dict[str, Any] = {"code": code, "message": message}
        if details is not None:
            inner["details"] = details
        self.body: dict[str, Any] = inner if flat else {"error": inner}
