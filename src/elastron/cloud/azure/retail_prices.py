"""Today's list prices, from Azure's public Retail Prices interface. No login is needed.

Interface: "Azure Retail Prices overview".
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.prices import PriceTable
from elastron.errors import ConnectError, DataError

URL = "https://prices.azure.com/api/retail/prices"
_PAGES_MAX = 20
_ANSWER_BYTES_MAX = 8 << 20
_TIMEOUT_S = 30.0

Get = Callable[[str, Mapping[str, str]], Any]
"""Asks an address with a query; gives the JSON of the answer."""


@dataclass(frozen=True)
class Wanted:
    """A price that is looked for.

    Attributes:
        key: in the table.
        service: as the interface calls it.
        where: further fields, each equal to a value.
        per: the unit in which the table has it, such as 1 Hour.
        without: words that its product and SKU must not hold.
        only: words that its SKU must hold.
    """

    key: str
    service: str
    where: Mapping[str, str]
    per: str
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


def wanted_prices(aks: Aks, known: Iterable[str] = ()) -> list[Wanted]:
    """The prices that a description needs, and those of further keys.

    Args:
        aks: the description.
        known: keys of a table that is to be renewed.
    """
    sizes = [aks.system_pool.vm_size, *(pool.vm_size for pool in aks.pools.values())]
    keys = [f"vm/{size}" for size in sizes]
    keys += [f"spot/{pool.vm_size}" for pool in aks.pools.values() if pool.spot]
    keys += [*_FIXED, *known]
    return [found for key in dict.fromkeys(keys) if (found := _wanted(key)) is not None]


def fetch_prices(
    wanted: Sequence[Wanted],
    *,
    location: str,
    currency: str,
    today: datetime.date,
    get: Get | None = None,
) -> tuple[PriceTable, list[str]]:
    """Today's table, and the keys for which no price is published there.

    Args:
        wanted: from `wanted_prices`.
        location: such as westeurope.
        currency: such as EUR.
        today: goes into the table.
        get: asks; None: over the network.

    Raises:
        ConnectError: the interface cannot be reached, or refuses.
        DataError: its answer is not what is documented.
    """
    ask = get or _get
    prices: dict[str, float] = {}
    missing: list[str] = []
    for each in wanted:
        price = None
        for region in (location, "Global"):  # some services have one price for all regions
            items = _items(each, region, currency, ask)
            price = pick(items, each)
            if price is not None:
                break
        if price is None:
            missing.append(each.key)
        else:
            prices[each.key] = price
    table = PriceTable(
        currency=currency,
        location=location,
        date=today,
        source="Azure Retail Prices: list prices, no discounts, no taxes",
        prices=prices,
    )
    return table, missing


def pick(items: Iterable[Mapping[str, Any]], wanted: Wanted) -> float | None:
    """The price among the answered ones that is the wanted one; None: none is.

    Of steps ("the first 5 GB cost nothing") the first that costs anything counts.
    """
    fitting: list[tuple[float, float]] = []
    for item in items:
        words = f"{item.get('productName', '')} {item.get('skuName', '')}".lower()
        if item.get("type", "Consumption") != "Consumption":
            continue
        if any(word in words for word in wanted.without):
            continue
        if not all(word in words for word in wanted.only):
            continue
        units = _units(str(item.get("unitOfMeasure", "")), wanted.per)
        price = item.get("retailPrice")
        if units is None or isinstance(price, bool) or not isinstance(price, int | float):
            continue
        if math.isfinite(price) and price > 0:
            fitting.append((float(item.get("tierMinimumUnits") or 0), price / units))
    return min(fitting)[1] if fitting else None


def _items(wanted: Wanted, location: str, currency: str, ask: Get) -> list[Mapping[str, Any]]:
    conditions = {
        "serviceName": wanted.service,
        "armRegionName": location,
        "priceType": "Consumption",
        **wanted.where,
    }
    text = " and ".join(f"{key} eq {_quoted(value)}" for key, value in conditions.items())
    address, query = URL, {"currencyCode": _quoted(currency), "$filter": text}
    found: list[Mapping[str, Any]] = []
    for _ in range(_PAGES_MAX):
        answer = ask(address, query)
        items = answer.get("Items") if isinstance(answer, Mapping) else None
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise DataError(f"{URL} answered something else than prices for {wanted.key}.")
        found += items
        further = answer.get("NextPageLink")
        if not further:
            return found
        if httpx.URL(str(further)).host != httpx.URL(URL).host:
            raise DataError(f"{URL} points to another host for its next page.")
        address, query = str(further), {}
    raise DataError(f"{URL} has no end of pages for {wanted.key}.")


def _get(address: str, query: Mapping[str, str]) -> Any:
    try:
        with httpx.stream("GET", address, params=dict(query) or None, timeout=_TIMEOUT_S) as answer:
            answer.raise_for_status()
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > _ANSWER_BYTES_MAX:
                    raise DataError(f"{URL} answers more than {_ANSWER_BYTES_MAX} bytes.")
            return httpx.Response(200, content=bytes(body)).json()
    except httpx.HTTPStatusError as error:
        raise ConnectError(
            f"{URL} answers {error.response.status_code}; try again later, or give a file with "
            "prices."
        ) from error
    except httpx.HTTPError as error:
        raise ConnectError(
            f"{URL} cannot be reached ({type(error).__name__}); check the network or a proxy "
            "(HTTPS_PROXY), or give a file with prices."
        ) from error
    except ValueError as error:
        raise DataError(f"{URL} answers something else than JSON.") from error


def _units(told: str, wanted: str) -> float | None:
    """How many wanted units the told unit has: `100 Hours` are 100 of `1 Hour`."""
    pattern = r"\s*([\d.]+)\s*([KM]?)\b\s*/?\s*(.*)"
    one, other = re.fullmatch(pattern, told), re.fullmatch(pattern, wanted)
    if one is None or other is None:
        return None
    if one[3].lower().rstrip("s") != other[3].lower().rstrip("s"):
        return None
    scale = {"": 1, "K": 1e3, "M": 1e6}
    try:
        units = float(one[1]) * scale[one[2]] / (float(other[1]) * scale[other[2]])
    except (ValueError, ZeroDivisionError):
        return None
    return units if units > 0 else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_NOT_LINUX = ("windows", "low priority", "cloudservices", "cloud services", "dedicated host")
_HOUR, _MONTH, _GB_MONTH = "1 Hour", "1/Month", "1 GB/Month"


def _meter(key: str, service: str, meter: str, per: str, product: str | None = None) -> Wanted:
    where = {"meterName": meter}
    if product is not None:
        where["productName"] = product
    return Wanted(key, service, where, per)


def _blobs(copies: str) -> Wanted:
    meter = f"Hot {copies} Data Stored"
    return _meter(f"blobs/{copies}", "Storage", meter, _GB_MONTH, "General Block Blob v2")


_FIXED: dict[str, Wanted] = {
    each.key: each
    for each in [
        _meter("cluster/Standard", "Azure Kubernetes Service", "Standard Uptime SLA", _HOUR),
        _meter(
            "load-balancer",
            "Load Balancer",
            "Standard Included LB Rules and Outbound Rules",
            _HOUR,
        ),
        _meter("address", "Virtual Network", "Standard IPv4 Static Public IP", _HOUR),
        *(
            _meter(f"vpn/VpnGw{n}AZ", "VPN Gateway", f"VpnGw{n}AZ", _HOUR, "VPN Gateway")
            for n in range(1, 6)
        ),
        *(
            _meter(f"registry/{tier}", "Container Registry", f"{tier} Registry Unit", "1/Day")
            for tier in ("Basic", "Standard", "Premium")
        ),
        _meter("logs", "Log Analytics", "Analytics Logs Data Ingestion", "1 GB"),
        _meter("metrics", "Azure Monitor", "Metrics ingestion Metric samples", "10M"),
        *(
            _meter(
                f"disk/{disk}",
                "Storage",
                f"{disk} LRS Disk",
                _MONTH,
                "Premium SSD Managed Disks",
            )
            for disk in ("P4", "P6", "P10", "P15", "P20", "P30", "P40")
        ),
        _meter("disk/E4", "Storage", "E4 LRS Disk", _MONTH, "Standard SSD Managed Disks"),
        *(_blobs(copies) for copies in ("LRS", "ZRS", "GRS")),
        *(
            Wanted(
                f"shares/smb-{copies}",
                "Storage",
                {"productName": "Files v2", "meterName": f"{copies} Data Stored"},
                _GB_MONTH,
            )
            for copies in ("LRS", "ZRS", "GRS")
        ),
        *(
            _meter(
                f"shares/nfs-{copies}",
                "Storage",
                f"Premium {copies} Provisioned",
                _GB_MONTH,
                "Premium Files",
            )
            for copies in ("LRS", "ZRS")
        ),
    ]
}


def _wanted(key: str) -> Wanted | None:
    kind, _, name = key.partition("/")
    if kind == "vm":
        where = {"armSkuName": name}
        return Wanted(key, "Virtual Machines", where, _HOUR, without=(*_NOT_LINUX, "spot"))
    if kind == "spot":
        where = {"armSkuName": name}
        return Wanted(key, "Virtual Machines", where, _HOUR, without=_NOT_LINUX, only=("spot",))
    return _FIXED.get(key)
