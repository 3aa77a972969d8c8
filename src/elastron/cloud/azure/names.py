"""What Azure's services accept as names; each check says what is allowed.

Rules: "Naming rules and restrictions for Azure resources" and the limits of each service.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator


def _rule(pattern: str, allowed: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"{text[:100]!r} is not allowed; {allowed}")
        return text

    return AfterValidator(check)


def _in_quotes(value: Any) -> Any:
    if isinstance(value, int | float):
        # 1.30 would be 1.3 by now.
        raise ValueError(f"YAML does not take {value} for text; write it in quotes")
    return value


def _whole_numbers_are_text(value: Any) -> Any:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_whole else _in_quotes(value)


def _clock(value: Any) -> Any:
    # YAML 1.1 reads 22:00 as a number to the base of 60, but 01:00 as text.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    return value


def _offset(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 24 * 60:
        return f"{'-' if value < 0 else '+'}{abs(value) // 60:02}:{abs(value) % 60:02}"
    return value


Clock = Annotated[str, BeforeValidator(_clock)]
"""Hour and minute, such as 22:00."""

Offset = Annotated[str, BeforeValidator(_offset)]
"""Of a clock to UTC, such as +01:00."""

ClusterName = Annotated[
    str,
    _rule(
        r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?",
        "a cluster's name has 1 to 63 letters, digits, hyphens and underscores, and begins and "
        "ends with a letter or digit",
    ),
]
GroupName = Annotated[
    str,
    _rule(
        r"[\w().-]{0,89}[\w()-]",
        "a resource group's name has 1 to 90 letters, digits, underscores, hyphens, parentheses "
        "and full stops, and does not end with a full stop",
    ),
]
PoolName = Annotated[
    str,
    _rule(
        r"[a-z][a-z0-9]{0,11}",
        "a node pool's name has 1 to 12 small letters and digits, and begins with a letter",
    ),
]
StorageAccountName = Annotated[
    str,
    _rule(
        r"[a-z0-9]{3,24}",
        "a storage account's name has 3 to 24 small letters and digits, and is the only one of "
        "its name in all of Azure",
    ),
]
ContainerName = Annotated[
    str,
    _rule(
        r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*",
        "a container's name has 3 to 63 small letters, digits and single inner hyphens",
    ),
]
RegistryName = Annotated[
    str,
    _rule(
        r"[A-Za-z0-9]{5,50}",
        "a registry's name has 5 to 50 letters and digits, and is the only one of its name in "
        "all of Azure",
    ),
]
DnsPrefix = Annotated[
    str,
    _rule(
        r"[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?",
        "a DNS prefix has 1 to 54 letters, digits and inner hyphens",
    ),
]
WorkspaceName = Annotated[
    str,
    _rule(
        r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
        "a workspace's name has 4 to 63 letters, digits and inner hyphens",
    ),
]
VmSize = Annotated[
    str,
    _rule(
        r"(Standard|Basic)_[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*",
        "a VM size is written as Standard_D4s_v5; `az vm list-sizes -l LOCATION` tells those of "
        "a place",
    ),
]
KubernetesVersion = Annotated[
    str,
    BeforeValidator(_in_quotes),
    _rule(r"1\.\d{1,3}(\.\d{1,3})?", "a Kubernetes version is written as 1.34 or 1.34.2"),
]
Zone = Annotated[str, _rule(r"[1-9]", "a zone is a number such as 1")]
Guid = Annotated[
    str,
    _rule(
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "a GUID is written as 00000000-0000-0000-0000-000000000000",
    ),
]
KubernetesName = Annotated[
    str,
    _rule(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "a name in Kubernetes has 1 to 63 small letters, digits and inner hyphens",
    ),
]
Taint = Annotated[
    str,
    _rule(
        r"([a-z0-9.-]+/)?[A-Za-z0-9_.-]{1,63}(=[A-Za-z0-9_.-]{0,63})?"
        r":(NoSchedule|PreferNoSchedule|NoExecute)",
        "a taint is written as key=value:NoSchedule (or PreferNoSchedule, NoExecute)",
    ),
]
LabelKey = Annotated[
    str,
    _rule(
        r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?",
        "a label's key is written as name or example.org/name",
    ),
]
LabelValue = Annotated[
    str,
    BeforeValidator(_whole_numbers_are_text),
    _rule(
        r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?",
        "a label's value has up to 63 letters, digits, hyphens, underscores and full stops",
    ),
]
TagName = Annotated[
    str,
    _rule(
        r"[^<>%&\\?/]{1,128}",  # 128: storage accounts; others take 512
        r"a tag's name has up to 128 characters and none of < > % & \ ? /",
    ),
]
TagValue = Annotated[
    str,
    BeforeValidator(_whole_numbers_are_text),
    _rule(r"(?s).{0,256}", "a tag's value has up to 256 characters"),
]
SubnetId = Annotated[
    str,
    _rule(
        r"/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[^/]+/providers"
        r"/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+",
        "a subnet is named by its full id, /subscriptions/.../virtualNetworks/NAME/subnets/NAME",
    ),
]


def _location(value: Any) -> Any:
    # `West Europe` and `westeurope` are the same place to Azure.
    return value.replace(" ", "").lower() if isinstance(value, str) else value


Location = Annotated[
    str,
    BeforeValidator(_location),
    _rule(r"[a-z][a-z0-9]{2,39}", "a location is written as westeurope"),
]


def _network(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(
            f"{text[:50]!r} is no IPv4 range such as 10.224.0.0/16: {error}"
        ) from error
    return str(network)


Range = Annotated[str, AfterValidator(_network)]


def check_name(kind: Any, text: str) -> None:
    """Refuse a name that is not of `kind`, one of the types above.

    Raises:
        ValueError: says what is allowed.
    """
    for rule in get_args(kind)[1:]:
        rule.func(text)


def same_place(one: str, other: str) -> bool:
    """Whether two spellings name the same location."""
    return _location(one) == _location(other)


def derived(name: str, suffix: str, length_max: int, *, plain: bool = False) -> str:
    """A resource's name made from the cluster's.

    Args:
        name: of the cluster.
        suffix: kept whole.
        length_max: in characters.
        plain: small letters and digits only (storage accounts, registries).
    """
    if plain:
        return re.sub(r"[^a-z0-9]", "", name.lower()) + suffix
    stem = name.replace("_", "-")[: length_max - len(suffix)].rstrip("-")
    return stem + suffix
