"""Every body that is sent to Azure is one that Azure's own packages could have sent."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings

from elastron.cloud.azure.build import API_VERSIONS, api_version
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.resource import replace_laters
from elastron.cloud.azure.resources import resources
from tests.cloud.azure.descriptions import FACTS, descriptions, everything

pytest.importorskip(
    "azure.mgmt.containerservice", reason="Azure's packages of the group `dev` are not installed"
)

from tests.cloud.azure.sdk_models import MODELS, problems


def all_problems(aks: Aks) -> list[str]:
    found: list[str] = []
    for resource in resources(aks, FACTS):
        body = replace_laters(resource.body, lambda later: f"{later.key}:{later.path}")
        found += problems(resource.type, body)
    return found


def test_bodies_are_what_azure_publishes():
    assert all_problems(everything()) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(descriptions)
def test_bodies_of_any_description_are(aks):
    assert all_problems(aks) == []


def test_all_types_are_checked_against_a_model():
    made = {resource.type for resource in resources(everything(), FACTS)}
    assert made <= set(MODELS)
    assert {kind.partition("/")[0] for kind in made} <= set(API_VERSIONS)


@pytest.mark.parametrize(
    ("package", "provider"),
    [
        ("azure.mgmt.containerservice", "Microsoft.ContainerService"),
        ("azure.mgmt.containerregistry", "Microsoft.ContainerRegistry"),
        ("azure.mgmt.loganalytics", "Microsoft.OperationalInsights"),
        ("azure.mgmt.storage", "Microsoft.Storage"),
        ("azure.mgmt.resource.resources", "Microsoft.Resources"),
        ("azure.mgmt.network", "Microsoft.Network"),
    ],
)
def test_versions_are_released_and_known_to_the_packages(package, provider):
    import importlib
    import inspect

    version = api_version(provider)
    assert "preview" not in version
    operations = importlib.import_module(f"{package}.operations._operations")
    client = importlib.import_module(f"{package}._client")
    source = inspect.getsource(operations) + inspect.getsource(client)
    assert f'"{version}"' in source


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda b: b["properties"].update(nodeResourcegroup="x"), "unknown"),
        (lambda b: b["properties"].update(fqdn="x"), "read-only"),
        (lambda b: b["properties"].update(enableRBAC="yes"), "no bool"),
        (lambda b: b["properties"]["networkProfile"].update(networkPlugin="kubenett"), "none of"),
        (lambda b: b.pop("location"), "missing"),
        (lambda b: b["properties"]["agentPoolProfiles"][0].pop("name"), "missing"),
    ],
)
def test_the_check_itself_sees_mistakes(spoil, word):
    (cluster,) = (r for r in resources(everything(), FACTS) if r.key == "cluster")
    body = copy.deepcopy(cluster.body)
    spoil(body)
    (problem,) = problems(cluster.type, body)
    assert word in problem


def test_the_check_sees_mistakes_in_bodies_of_the_older_packages_too():
    (rule,) = (r for r in resources(everything(), FACTS) if r.key == "logs/rule")
    body = copy.deepcopy(rule.body)
    body["properties"]["dataFlow"] = body["properties"].pop("dataFlows")
    body["properties"]["dataSources"]["extensions"][0]["streams"] = "all"
    body["properties"]["immutableId"] = "x"
    del body["location"]
    found = problems(rule.type, body)
    assert [problem.split(": ")[1] for problem in found] == [
        "'all' is no list",
        "unknown",
        "read-only",
        "missing",
    ]
