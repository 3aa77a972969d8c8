"""Registers a subscription for Azure's services, as the first use of each one needs."""

from __future__ import annotations

from collections.abc import Iterable

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.build import api_version
from elastron.cloud.azure.events import Event, Progress, Step
from elastron.errors import DeadlineError

_LIMIT_S = 900.0
_POLL_S = 10.0


def register(arm: Arm, subscription_id: str, names: Iterable[str], progress: Progress) -> None:
    """Register, and wait until Azure has done so; what is registered already is no change.

    Args:
        arm: Azure Resource Manager.
        subscription_id: a GUID.
        names: such as Microsoft.ContainerService.
        progress: is told.

    Raises:
        CloudError: who is logged in may not.
        DeadlineError: Azure takes too long.
    """
    version, began = api_version("Microsoft.Resources"), arm.clock.now()
    waiting = {name: f"/subscriptions/{subscription_id}/providers/{name}" for name in names}
    for name, path in waiting.items():
        progress(Event(Step.BEGUN, name, "register"))
        arm.post(f"{path}/register", version)
    while waiting:
        for name, path in list(waiting.items()):
            answer = arm.get(path, version) or {}
            if str(answer.get("registrationState", "")).lower() == "registered":
                del waiting[name]
                progress(Event(Step.DONE, name, "register", arm.clock.now() - began))
        if waiting and arm.clock.now() - began > _LIMIT_S:
            raise DeadlineError(
                f"Azure still registers the subscription for {', '.join(waiting)} after "
                f"{_LIMIT_S / 60:.0f} minutes. Run the command again; it goes on where it stopped."
            )
        if waiting:
            arm.clock.sleep(_POLL_S)
