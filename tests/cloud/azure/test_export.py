"""What the template would make is what `aks up` makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.export import SCHEMA, export_template
from elastron.cloud.azure.plan import plan
from elastron.cloud.azure.resource import resolve
from elastron.cloud.azure.resources import resources
from tests.cloud.azure.arm_template import Deployment
from tests.cloud.azure.descriptions import FACTS, SUBSCRIPTION, Memory, descriptions, everything

DATA = Path(__file__).parent / "data"
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def deployed(aks: Aks, template: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the template makes, and what the live path makes; by id."""
    wanted = resources(aks, FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    live = {
        each.id: {"apiVersion": each.api_version, "body": resolve(each.body, azure.by_key)}
        for each in wanted
        if each.key != "group"
    }
    parameters = {
        "kubernetesVersion": FACTS.kubernetes_version,
        "administratorObjectId": FACTS.user_object_id,
    }
    deployment = Deployment(
        template,
        {name: parameters[name] for name in template["parameters"]},
        subscription=SUBSCRIPTION,
        tenant=FACTS.tenant_id,
        group=aks.group,
        properties={r.id.lower(): azure.by_key[r.key]["properties"] for r in wanted},
    )
    return _lower_ids(deployment.run()), _lower_ids(live)


def _lower_ids(value: Any) -> Any:
    """Azure spells ids as it likes; case does not count in them."""
    if isinstance(value, dict):
        return {_lower_ids(key): _lower_ids(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_lower_ids(item) for item in value]
    is_id = isinstance(value, str) and value.startswith("/subscriptions/")
    return value.lower() if is_id else value


@few
@given(descriptions)
def test_the_template_makes_exactly_what_the_live_path_makes(aks):
    template = json.loads(json.dumps(export_template(aks)))
    made, live = deployed(aks, template)
    assert made == live


@few
@given(descriptions)
def test_templates_are_valid_by_the_published_schema(aks):
    schema = json.loads((DATA / "deploymentTemplate.json").read_text())
    jsonschema.Draft4Validator.check_schema(schema)
    jsonschema.validate(export_template(aks), schema, cls=jsonschema.Draft4Validator)


def test_the_schema_refuses_what_is_wrong():
    schema = json.loads((DATA / "deploymentTemplate.json").read_text())
    template = export_template(everything())
    template["resource"] = template.pop("resources")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(template, schema, cls=jsonschema.Draft4Validator)


def test_sizes_taints_and_names_are_those_of_the_description():
    aks = everything()
    template = export_template(aks)
    pools = {
        each["name"]: each["properties"]
        for each in template["resources"]
        if each["type"].endswith("/agentPools")
    }
    assert set(pools) == {"mrrecon/userpool", "mrrecon/gpu", "mrrecon/operator"}
    assert pools["mrrecon/gpu"]["vmSize"] == "Standard_NC4as_T4_v3"
    assert "sku=gpu:NoSchedule" in pools["mrrecon/gpu"]["nodeTaints"]
    assert pools["mrrecon/operator"]["gpuProfile"] == {"driver": "None"}
    assert pools["mrrecon/userpool"]["maxCount"] == 20
    assert template["$schema"] == SCHEMA


def test_no_subscription_is_written_into_a_template():
    text = json.dumps(export_template(everything()))
    assert SUBSCRIPTION not in text
    assert "00000000-0000" not in text


def test_parameters_are_asked_for_only_where_they_are_needed():
    assert set(export_template(everything())["parameters"]) == {"administratorObjectId"}
    template = export_template(
        everything(kubernetes_version=None, access="certificate"), kubernetes_version="1.35"
    )
    assert set(template["parameters"]) == {"kubernetesVersion"}
    plain = make_aks({"name": "mrrecon"})
    wanted = resources(plain, FACTS)
    azure = Memory()
    azure.apply(plan(wanted, {}))
    made = Deployment(
        export_template(plain),
        {},
        subscription=SUBSCRIPTION,
        tenant=FACTS.tenant_id,
        group=plain.group,
        properties={r.id.lower(): azure.by_key[r.key]["properties"] for r in wanted},
    ).run()
    (cluster,) = (each["body"] for path, each in made.items() if path.endswith("Clusters/mrrecon"))
    assert "kubernetesVersion" not in cluster["properties"]
    assert template["parameters"]["kubernetesVersion"]["defaultValue"] == "1.35"


def test_text_in_brackets_stays_text():
    aks = everything(tags={"note": "[urgent]", "other": "[half"})
    made, live = deployed(aks, export_template(aks))
    assert made == live
    assert '"[[urgent]"' in json.dumps(export_template(aks))


def test_a_role_in_another_group_is_deployed_there():
    subnet = (
        "/subscriptions/aaaaaaaa-2222-3333-4444-555555555555/resourceGroups/hospital/providers"
        "/Microsoft.Network/virtualNetworks/main/subnets/mr"
    )
    aks = everything(network={"subnet": subnet}, vpn=None)
    template = export_template(aks)
    (nested,) = (r for r in template["resources"] if r["type"].endswith("/deployments"))
    assert nested["resourceGroup"] == "hospital"
    assert nested["subscriptionId"] == "aaaaaaaa-2222-3333-4444-555555555555"
    (cluster,) = (r for r in template["resources"] if r["type"].endswith("/managedClusters"))
    assert any("mrrecon-role-cluster-network" in each for each in cluster["dependsOn"])
    made, live = deployed(aks, template)
    assert made == live
