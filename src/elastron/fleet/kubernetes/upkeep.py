"""What a node's pod says of itself to Kubernetes, so that the right one leaves. Pure.

The ReplicaSet controller removes the pods of lowest `pod-deletion-cost` first (KEP-2255); the
cluster autoscaler leaves machines alone that hold a pod whose `safe-to-evict` is false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
#: Label of a pod.
POOL = "elastron.dev/pool"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"

IDLE_COST = 0
BUSY_COST = 10
#: Kubernetes asks not to rewrite the cost at every tick: a scan's age counts in such steps.
AGE_STEP_S = 300.0
_COST_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Pod:
    """A node's pod.

    Attributes:
        name: of the pod.
        host: its address; empty: it has none yet.
        running: it runs, is not terminating, and its containers are up.
        annotations: as they are.
        pool: the pool its node belongs to.
    """

    name: str
    host: str
    running: bool
    annotations: Mapping[str, str]
    pool: str = "default"


@dataclass(frozen=True, slots=True)
class Load:
    """What a pod does now.

    Attributes:
        scans: running ones.
        oldest_s: how long the oldest of them has been running, in seconds.
    """

    scans: int
    oldest_s: float = 0.0


def deletion_cost(load: Load) -> int:
    """Idle 0; busy 10, and one more for each step of age of the oldest scan."""
    if not load.scans:
        return IDLE_COST
    return min(_COST_MAX, BUSY_COST + int(load.oldest_s // AGE_STEP_S))


def annotations_due(pod: Pod, load: Load | None) -> dict[str, str]:
    """Annotations to write; empty: all is as it should be.

    Args:
        pod: as the API knows it.
        load: None: the pod does not tell. One that was busy may still be: nothing is changed.
    """
    if load is None or not pod.running:
        return {}
    wanted = {
        DELETION_COST: str(deletion_cost(load)),
        SAFE_TO_EVICT: "false" if load.scans else "true",
    }
    if wanted[DELETION_COST] == str(IDLE_COST) and DELETION_COST not in pod.annotations:
        del wanted[DELETION_COST]  # no cost is a cost of 0
    return {key: value for key, value in wanted.items() if pod.annotations.get(key) != value}
