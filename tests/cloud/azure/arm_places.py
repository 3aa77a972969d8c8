"""Regions, versions, sizes, quotas, and names that others took: what a subscription can look up."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.cloud.azure.arm_errors import ArmError

Json = dict[str, Any]

LOCATIONS = {
    "westus2": "West US 2",
    "westeurope": "West Europe",
    "germanywestcentral": "Germany West Central",
}


@dataclass(frozen=True)
class Size:
    """A virtual machine size."""

    name: str
    family: str
    cores: int
    memory_gib: float
    gpus: int = 0
    not_in: tuple[str, ...] = ()
    restricted_in: tuple[str, ...] = ()


SIZES = (
    Size("Standard_D2s_v5", "standardDSv5Family", 2, 8),
    Size("Standard_D4s_v5", "standardDSv5Family", 4, 16),
    Size("Standard_D8s_v5", "standardDSv5Family", 8, 32),
    Size("Standard_D16s_v5", "standardDSv5Family", 16, 64),
    Size("Standard_D4ds_v5", "standardDDSv5Family", 4, 16),
    Size("Standard_D8ds_v5", "standardDDSv5Family", 8, 32),
    Size("Standard_D16ds_v5", "standardDDSv5Family", 16, 64),
    Size("Standard_D2as_v5", "standardDASv5Family", 2, 8),
    Size("Standard_D4as_v5", "standardDASv5Family", 4, 16),
    Size("Standard_D8as_v5", "standardDASv5Family", 8, 32),
    Size("Standard_D4s_v3", "standardDSv3Family", 4, 16),
    Size("Standard_D8s_v3", "standardDSv3Family", 8, 32),
    Size("Standard_DS2_v2", "standardDSv2Family", 2, 7),
    Size("Standard_F8s_v2", "standardFSv2Family", 8, 16),
    Size("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4, 28, 1),
    Size("Standard_NC8as_T4_v3", "Standard NCASv3_T4 Family", 8, 56, 1),
    Size(
        "Standard_NC24ads_A100_v4",
        "StandardNCADSA100v4Family",
        24,
        220,
        1,
        not_in=("germanywestcentral",),
    ),
    Size(
        "Standard_NC40ads_H100_v5",
        "StandardNCadsH100v5Family",
        40,
        320,
        1,
        restricted_in=("westeurope",),
    ),
)


@dataclass
class Places:
    """What can be had where.

    Attributes:
        versions: minor version -> its patches; the preview ones and the default are named.
        cores_max: quota of cores of each family; `cores` for all together.
    """

    versions: dict[str, list[str]] = field(
        default_factory=lambda: {
            "1.32": ["1.32.7", "1.32.6"],
            "1.33": ["1.33.3", "1.33.2"],
            "1.34": ["1.34.1"],
            "1.35": ["1.35.0"],
        }
    )
    long_term: tuple[str, ...] = ("1.30",)
    preview: tuple[str, ...] = ("1.35",)
    default: str = "1.33"
    cores_max: dict[str, int] = field(default_factory=lambda: {"cores": 350})
    cores_used: dict[str, int] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {"contoso"})

    def check_location(self, location: str | None) -> None:
        if str(location).replace(" ", "").lower() not in LOCATIONS:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available. List of available regions "
                "is "
                f"'{','.join(sorted(LOCATIONS))}'.",
            )

    def kubernetes_versions(self) -> Json:
        def one(minor: str, patches: list[str], *, long_term: bool = False) -> Json:
            plan = ["AKSLongTermSupport"] if long_term else ["KubernetesOfficial"]
            if not long_term and minor not in self.preview:
                plan.append("AKSLongTermSupport")
            out: Json = {
                "version": minor,
                "capabilities": {"supportPlan": plan},
                "patchVersions": {patch: {"upgrades": []} for patch in patches},
            }
            if minor in self.preview:
                out["isPreview"] = True
            if minor == self.default:
                out["isDefault"] = True
            return out

        old = [one(minor, [f"{minor}.14"], long_term=True) for minor in self.long_term]
        return {
            "values": [*old, *(one(minor, patches) for minor, patches in self.versions.items())]
        }

    def patch_of(self, version: str | None) -> str:
        """The full version that a cluster gets; raises for one that is not supported."""
        wanted = version or self.default
        if wanted in self.versions:
            return self.versions[wanted][0]
        if any(wanted in patches for patches in self.versions.values()):
            return wanted
        raise ArmError(
            400,
            "K8sVersionNotSupported",
            f"Managed cluster is on version {wanted}, which is not supported in this region. "
            "Please use "
            "[az aks get-versions] command to get the supported version list in this region. For "
            "more "
            "information, please check https://aka.ms/supported-version-list.",
            flat=True,
        )

    def skus(self, location: str | None) -> list[Json]:
        out = []
        for place in LOCATIONS if location is None else [location.lower()]:
            for size in SIZES:
                if place in size.not_in:
                    continue
                restrictions = (
                    [
                        {
                            "type": "Location",
                            "values": [place],
                            "reasonCode": "NotAvailableForSubscription",
                            "restrictionInfo": {"locations": [place]},
                        }
                    ]
                    if place in size.restricted_in
                    else []
                )
                out.append(
                    {
                        "resourceType": "virtualMachines",
                        "name": size.name,
                        "tier": "Standard",
                        "size": size.name.removeprefix("Standard_"),
                        "family": size.family,
                        "locations": [place],
                        "locationInfo": [
                            {"location": place, "zones": ["1", "2", "3"], "zoneDetails": []}
                        ],
                        "capabilities": [
                            {"name": "vCPUs", "value": str(size.cores)},
                            {"name": "vCPUsAvailable", "value": str(size.cores)},
                            {"name": "MemoryGB", "value": f"{size.memory_gib:g}"},
                            *([{"name": "GPUs", "value": str(size.gpus)}] if size.gpus else []),
                            {"name": "EphemeralOSDiskSupported", "value": "True"},
                            {"name": "PremiumIO", "value": "True"},
                        ],
                        "restrictions": restrictions,
                    }
                )
                out.append({**out[-1], "resourceType": "disks", "name": "Premium_LRS"})
        return out

    def usages(self) -> list[Json]:
        families = sorted({size.family for size in SIZES})
        names = [
            ("cores", "Total Regional vCPUs"),
            ("lowPriorityCores", "Total Regional Spot vCPUs"),
        ]
        return [
            {
                "name": {"value": name, "localizedValue": label},
                "unit": "Count",
                "currentValue": self.cores_used.get(name, 0),
                "limit": self.cores_max.get(name, 100),
            }
            for name, label in [*names, *((one, one) for one in families)]
        ]

    def size(self, name: str, location: str) -> Size:
        for one in SIZES:
            if one.name.lower() == name.lower():
                if location in one.not_in or location in one.restricted_in:
                    break
                return one
        raise ArmError(
            400,
            "BadRequest",
            f"The VM size of {name} is not allowed in your subscription in location "
            f"'{location}'. The "
            f"available VM sizes are '{','.join(one.name.lower() for one in SIZES)}'.",
            flat=True,
        )

    def check_name(self, name: str, own: bool) -> Json:
        if not re.fullmatch(r"[a-z0-9]{3,24}", name):
            return {
                "nameAvailable": False,
                "reason": "AccountNameInvalid",
                "message": f"{name} is not a valid storage account name. It must have 3 to 24 "
                "characters and use numbers and lower-case letters only.",
            }
        if own or name in self.taken:
            return {
                "nameAvailable": False,
                "reason": "AlreadyExists",
                "message": f"The storage account named {name} is already taken.",
            }
        return {"nameAvailable": True}
