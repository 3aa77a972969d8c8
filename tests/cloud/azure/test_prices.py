from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import HealthCheck, given, settings

from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.plan_report import estimate_notes, estimate_table
from elastron.cloud.azure.prices import (
    HOURS_A_MONTH,
    PriceTable,
    Usage,
    estimate,
    estimate_json,
    load_prices,
    table_json,
)
from elastron.errors import ConfigError
from tests.cloud.azure.descriptions import descriptions, everything
from tests.cloud.azure.printing import printed

TABLE = PriceTable(
    currency="EUR",
    location="westeurope",
    date=datetime.date(2026, 11, 1),
    prices={
        "vm/Standard_D4s_v5": 0.2,
        "vm/Standard_D8s_v5": 0.4,
        "disk/E4": 2.5,
        "disk/P10": 20,
        "disk/P15": 40,
        "load-balancer": 0.025,
        "address": 0.005,
        "logs": 3,
        "blobs/LRS": 0.02,
        "shares/smb-LRS": 0.06,
    },
)


def test_the_default_cluster_costs_what_its_parts_cost():
    result = estimate(make_aks({"name": "demo", "location": "West Europe"}), TABLE, Usage())
    system, user = 0.2 * HOURS_A_MONTH, 0.4 * HOURS_A_MONTH
    always = 0.03 * HOURS_A_MONTH + 25 * 3 + 100 * 0.02 + 320 * 0.06 + 2.5
    # The HPA keeps one pod, and so one machine.
    assert result.month_min == pytest.approx(system + 20 + user + 40 + always)
    # Machines of 8 cores get a system disk of 256 GiB.
    assert result.month_max == pytest.approx(3 * (system + 20) + 10 * (user + 40) + always)
    assert result.unknown == ()
    assert not result.elsewhere


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(descriptions)
def test_least_is_never_more_than_most_and_all_is_told(aks):
    result = estimate(aks, load_prices())
    assert 0 <= result.month_min <= result.month_max
    told = estimate_json(result)
    json.dumps(told)
    assert told["monthMin"] == pytest.approx(
        sum(line["monthMin"] or 0 for line in told["lines"]), abs=0.01 * len(told["lines"])
    )
    # The table that comes along knows all but spot prices, which change by the day.
    assert all(key.startswith("spot/") for key in result.unknown)


def test_with_keda_no_machine_is_paid_for_while_nobody_scans():
    aks = make_aks({"name": "demo", "fleet": {"autoscaler": "keda"}})
    line = next(each for each in estimate(aks, TABLE).lines if "pool userpool" in each.what)
    assert (line.least, line.month_min) == (0, 0)


def test_prices_of_ones_own_win():
    aks = make_aks({"name": "demo", "prices": {"vm/Standard_D4s_v5": 0}})
    line = estimate(aks, TABLE).lines[0]
    assert (line.price, line.month_min, line.month_max) == (0, 0, 0)


def test_what_has_no_price_is_told_and_not_taken_for_nothing():
    aks = make_aks({"name": "demo", "pools": {"a": {}, "gpu": {"vm_size": "Standard_NC4as_T4_v3"}}})
    result = estimate(aks, TABLE)
    assert result.unknown == ("vm/Standard_NC4as_T4_v3",)
    line = next(line for line in result.lines if line.key == result.unknown[0])
    assert line.month_min == 0
    assert line.month_max is None
    assert "vm/Standard_NC4as_T4_v3" in " ".join(estimate_notes(result))
    assert "?" in printed(estimate_table(result))


@pytest.mark.parametrize(
    ("nodes", "key"),
    [
        ({"os_disk_gb": 32}, "disk/P4"),
        ({"os_disk_gb": 33}, "disk/P6"),
        ({"os_disk_gb": 2048}, "disk/P40"),
        ({"vm_size": "Standard_D4s_v5"}, "disk/P10"),
        ({"vm_size": "Standard_D8s_v5"}, "disk/P15"),
        ({"vm_size": "Standard_D16s_v5"}, "disk/P20"),
        ({"vm_size": "Standard_D64s_v5"}, "disk/P30"),
    ],
)
def test_disks_are_sold_by_size(nodes, key):
    aks = make_aks({"name": "demo", "pools": {"p": nodes}})
    lines = [line.key for line in estimate(aks, TABLE).lines if line.what.startswith("pool p: sys")]
    assert lines == [key]


def test_a_disk_of_the_machine_itself_costs_nothing():
    aks = make_aks({"name": "demo", "system_pool": {"os_disk": "ephemeral"}, "pools": {}})
    assert not [
        line for line in estimate(aks, TABLE).lines if line.what.startswith("pool system: s")
    ]


def test_everything_there_is_has_a_line():
    keys = {line.key for line in estimate(everything(), load_prices()).lines}
    assert {"cluster/Standard", "vpn/VpnGw1AZ", "registry/Premium", "metrics"} <= keys
    assert {"blobs/ZRS", "shares/nfs-ZRS", "spot/Standard_NC4as_T4_v3"} <= keys


def test_a_daily_cap_bounds_what_logs_cost():
    aks = make_aks({"name": "demo", "monitoring": {"daily_cap_gb": 0.5}})
    (line,) = (line for line in estimate(aks, TABLE).lines if line.key == "logs")
    assert line.most == pytest.approx(0.5 * HOURS_A_MONTH / 24 - 5)


def test_the_table_says_currency_place_and_date():
    result = estimate(make_aks({"name": "demo"}), TABLE)
    text = printed(estimate_table(result))
    assert "EUR a month" in text
    notes = estimate_notes(result)
    assert "westeurope, 2026-11-01" in notes[0]
    assert "westus2" in notes[1]  # prices of one place for a cluster in another
    assert estimate_json(result)["pricesOf"]["date"] == "2026-11-01"


def test_a_table_can_be_kept_in_a_file(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(table_json(TABLE))
    assert load_prices(path) == TABLE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "prices.json is no table of prices"),
        ('{"currency": "euro"}', "currency"),
        ('{"currency": "EUR", "location": "a", "date": "2026-01-01", "prices": {"x": "y"}}', "x"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, text, word):
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=word):
        load_prices(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_prices(tmp_path / "none.json")
