"""All that Azure is to have for one description, in the order in which it can be made."""

from __future__ import annotations

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.resource import Facts, Resource


def resources(aks: Aks, facts: Facts) -> list[Resource]:
    """Resources of a cluster, each after those it depends on.

    Pure: nothing is asked or changed.

    Args:
        aks: the description.
        facts: what only Azure knows.
    """
    raise NotImplementedError
