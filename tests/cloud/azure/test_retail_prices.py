"""Prices as the public interface answers them; the stand-in speaks its documented form."""

from __future__ import annotations

import datetime
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.cloud.azure import retail_prices
from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.prices import estimate, load_prices
from elastron.cloud.azure.retail_prices import Wanted, fetch_prices, pick, wanted_prices
from elastron.errors import ConnectError, DataError
from tests.cloud.azure.descriptions import everything

TODAY = datetime.date(2026, 11, 23)


def item(**changed: Any) -> dict[str, Any]:
    return {
        "currencyCode": "EUR",
        "tierMinimumUnits": 0.0,
        "retailPrice": 0.5,
        "unitPrice": 0.5,
        "armRegionName": "westeurope",
        "location": "EU West",
        "meterName": "D4s v5",
        "productName": "Virtual Machines Dsv5 Series",
        "skuName": "D4s v5",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": "Standard_D4s_v5",
        **changed,
    }


class Shop:
    """Answers by the filter, in pages of two."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.asked: list[str] = []

    def __call__(self, address: str, query: dict[str, str]) -> Any:
        parts = {**{k: v[0] for k, v in parse_qs(urlsplit(address).query).items()}, **query}
        assert parts["currencyCode"] == "'EUR'"
        self.asked.append(parts["$filter"])
        conditions = dict(re.findall(r"(\w+) eq '((?:[^']|'')*)'", parts["$filter"]))
        conditions["type"] = conditions.pop("priceType")
        found = [
            each
            for each in self.items
            if all(each.get(key) == value for key, value in conditions.items())
        ]
        skip = int(parts.get("$skip", 0))
        further = None
        if skip + 2 < len(found):
            rest = f"currencyCode='EUR'&$filter={parts['$filter']}&$skip={skip + 2}"
            further = f"{retail_prices.URL}?{rest}"
        page = found[skip : skip + 2]
        return {"Items": page, "NextPageLink": further, "Count": len(page)}


def test_the_linux_price_is_taken_from_all_pages():
    shop = Shop(
        [
            item(productName="Virtual Machines Dsv5 Series Windows", retailPrice=0.9),
            item(skuName="D4s v5 Spot", retailPrice=0.05),
            item(skuName="D4s v5 Low Priority", retailPrice=0.04),
            item(productName="Dsv5 Series Cloud Services", retailPrice=0.01),
            item(retailPrice=0.24),
            item(type="DevTestConsumption", retailPrice=0.001),
            item(armRegionName="eastus", retailPrice=0.19),
        ]
    )
    wanted = wanted_prices(make_aks({"name": "demo", "pools": {"p": {"spot": True}}}))
    table, missing = fetch_prices(
        wanted, location="westeurope", currency="EUR", today=TODAY, get=shop
    )
    assert table.prices == {"vm/Standard_D4s_v5": 0.24}
    assert "vm/Standard_D8s_v5" in missing
    assert "spot/Standard_D8s_v5" in missing
    assert (table.currency, table.location, table.date) == ("EUR", "westeurope", TODAY)


def test_spot_prices_are_those_of_spot():
    (wanted,) = (
        each
        for each in wanted_prices(
            make_aks({"name": "demo", "pools": {"p": {"spot": True, "vm_size": "Standard_D4s_v5"}}})
        )
        if each.key.startswith("spot/")
    )
    items = [item(), item(skuName="D4s v5 Spot", retailPrice=0.05)]
    assert pick(items, wanted) == 0.05


def test_the_first_gigabytes_that_cost_nothing_are_no_price():
    wanted = Wanted("logs", "Log Analytics", {}, "1 GB")
    steps = [
        item(unitOfMeasure="1 GB", retailPrice=0.0),
        item(unitOfMeasure="1 GB", retailPrice=2.5, tierMinimumUnits=5.0),
        item(unitOfMeasure="1 GB", retailPrice=2.0, tierMinimumUnits=500.0),
    ]
    assert pick(steps, wanted) == 2.5


@pytest.mark.parametrize(
    ("told", "wanted", "price"),
    [
        ("1 Hour", "1 Hour", 0.5),
        ("100 Hours", "1 Hour", 0.005),
        ("1 GB/Month", "1 GB/Month", 0.5),
        ("1/Month", "1/Month", 0.5),
        ("1/Day", "1/Month", None),
        ("1M", "10M", 5.0),
        ("10M", "10M", 0.5),
        ("", "1 Hour", None),
        ("some", "1 Hour", None),
        ("0 Hours", "1 Hour", None),
    ],
)
def test_units_are_converted_or_refused(told, wanted, price):
    found = pick([item(unitOfMeasure=told)], Wanted("x", "y", {}, wanted))
    assert found == (None if price is None else pytest.approx(price))


def test_every_price_of_the_table_that_comes_along_can_be_asked_for():
    keys = {each.key for each in wanted_prices(everything(), load_prices().prices)}
    assert set(load_prices().prices) <= keys
    needed = {line.key for line in estimate(everything(), load_prices()).lines}
    assert needed <= {each.key for each in wanted_prices(everything())}


def test_prices_that_hold_everywhere_are_found():
    shop = Shop(
        [
            item(
                serviceName="Load Balancer",
                meterName="Standard Included LB Rules and Outbound Rules",
                armRegionName="Global",
                retailPrice=0.025,
            )
        ]
    )
    wanted = [each for each in wanted_prices(everything()) if each.key == "load-balancer"]
    table, _ = fetch_prices(wanted, location="uksouth", currency="EUR", today=TODAY, get=shop)
    assert table.prices == {"load-balancer": 0.025}
    assert len(shop.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"Items": "x"},
        {"Items": [1]},
        {"Items": [], "NextPageLink": "https://elsewhere.example/api"},
        {"Items": [], "NextPageLink": retail_prices.URL},
    ],
)
def test_answers_that_are_no_prices_are_refused(answer):
    wanted = wanted_prices(everything())[:1]
    with pytest.raises(DataError):
        fetch_prices(
            wanted, location="x", currency="EUR", today=TODAY, get=lambda address, query: answer
        )


plain = st.none() | st.booleans() | st.floats() | st.text(max_size=8)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["retailPrice", "unitOfMeasure", "productName", "skuName", "type"]),
            plain,
        )
    )
)
def test_odd_items_are_passed_over(items):
    price = pick(items, Wanted("x", "y", {}, "1 Hour"))
    assert price is None or price > 0


@pytest.fixture
def server(monkeypatch) -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {"status": 200, "body": b"{}", "paths": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told["paths"].append(self.path)
            self.send_response(told["status"])
            self.send_header("Content-Length", str(len(told["body"])))
            self.end_headers()
            self.wfile.write(told["body"])

        def log_message(self, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    monkeypatch.setattr(retail_prices, "URL", f"http://127.0.0.1:{httpd.server_port}/api")
    yield told
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def ask() -> dict[str, float]:
    wanted = [each for each in wanted_prices(everything()) if each.key == "vm/Standard_D4s_v5"]
    table, _ = fetch_prices(wanted, location="westeurope", currency="EUR", today=TODAY)
    return table.prices


def test_over_http(server):
    server["body"] = json.dumps({"Items": [item(retailPrice=0.24)], "NextPageLink": None}).encode()
    assert ask() == {"vm/Standard_D4s_v5": 0.24}
    query = parse_qs(urlsplit(server["paths"][0]).query)
    assert query["currencyCode"] == ["'EUR'"]
    assert "armSkuName eq 'Standard_D4s_v5'" in query["$filter"][0]
    assert "priceType eq 'Consumption'" in query["$filter"][0]


@pytest.mark.parametrize(
    ("status", "body", "error", "word"),
    [
        (500, b"", ConnectError, "answers 500"),
        (429, b"", ConnectError, "answers 429"),
        (200, b"no json", DataError, "JSON"),
        (200, b"x" * (retail_prices._ANSWER_BYTES_MAX + 1), DataError, "more than"),
    ],
)
def test_what_goes_wrong_is_told(server, status, body, error, word):
    server.update(status=status, body=body)
    with pytest.raises(error, match=word):
        ask()


def test_nobody_there(monkeypatch):
    monkeypatch.setattr(retail_prices, "URL", "http://127.0.0.1:9/api")
    with pytest.raises(ConnectError, match="cannot be reached"):
        ask()
