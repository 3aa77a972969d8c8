from __future__ import annotations

import json

from elastron.cloud.azure.plan import deletions, plan
from elastron.cloud.azure.plan_report import (
    changes_json,
    changes_table,
    plan_json,
    refusals,
    summary,
)
from elastron.cloud.azure.resources import resources
from tests.cloud.azure.descriptions import FACTS, Memory, everything
from tests.cloud.azure.printing import printed


def test_from_nothing_each_resource_is_a_row():
    wanted = resources(everything(), FACTS)
    result = plan(wanted, {})
    text = printed(changes_table(result.changes))
    assert text.count("create ") == len(wanted)
    assert "ContainerService/managedClusters/agentPools" in text
    assert summary(result.changes) == f"Azure: {len(wanted)} to create."
    told = plan_json(result)
    assert [change["id"] for change in told["changes"]] == [each.id for each in wanted]
    text = json.dumps(told)
    assert "<properties.principalId of identity/storage>" in text
    assert told["summary"] == {"create": len(wanted)}


def test_what_changes_is_told_with_its_reasons_and_what_stays_only_when_asked():
    wanted = resources(everything(), FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    azure.by_key["pool/userpool"]["properties"]["maxCount"] = 5
    del azure.by_key["identity/storage"]
    result = plan(wanted, azure.found(wanted))
    text = printed(changes_table(result.changes))
    assert "maxCount: 5 -> 20" in text
    assert "known once identity/storage exists" in text
    assert "keep" not in text
    assert "keep" in printed(changes_table(result.changes, kept=True))
    stay = len(wanted) - 3
    assert summary(result.changes) == (
        f"Azure: 1 to create, 1 to update, 1 to replace; {stay} stay."
    )


def test_nothing_to_do_is_said():
    wanted = resources(everything(), FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    result = plan(wanted, azure.found(wanted))
    assert summary(result.changes) == (
        f"Azure: nothing to do; all {len(wanted)} resources are as described."
    )


def test_what_is_refused_is_told_with_what_to_do():
    wanted = resources(everything(), FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    other = everything(
        pools={"gpu": {"vm_size": "Standard_NC8as_T4_v3", "spot": True}},
        network={"private_cluster": True},
    )
    told = refusals(plan(resources(other, FACTS), azure.found(wanted)))
    assert any("Standard_NC4as_T4_v3 -> Standard_NC8as_T4_v3" in each for each in told)
    assert any("describe a further pool" in each for each in told)
    assert any("make another cluster" in each for each in told)


def test_deletions_say_what_goes_with_what():
    wanted = resources(everything(), FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    changes = deletions(wanted, azure.found(wanted), whole_group=True)
    text = printed(changes_table(changes))
    assert text.count("goes with group") == len(wanted) - 1
    told = changes_json(changes)
    assert told["changes"][-1]["key"] == "group"
    assert told["changes"][0]["goesWith"] == "group"


def test_long_values_are_cut_and_nothing_is_markup():
    wanted = resources(everything(tags={"note": "[bold]" + "x" * 200}), FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    azure.by_key["group"]["tags"]["note"] = "[red]old"
    text = printed(changes_table(plan(wanted, azure.found(wanted)).changes))
    assert "[red]old -> [bold]xxx" in text
    assert "x" * 100 not in text
