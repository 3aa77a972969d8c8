"""What an upgrade changes; secrets stay hidden."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from elastron.cloud.diff import Change, differences, hidden, summary
from tests.helm.harness import CHARTS, render

SECRET = "geheim"  # noqa: S105

leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcde"), inner, max_size=3)
    ),
    max_leaves=10,
)


def config_map(name: str, **data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_objects_that_come_stay_change_and_go():
    before = [config_map("goes"), config_map("stays"), config_map("changes", a="1", z="same")]
    after = [config_map("changes", a="2", z="same"), config_map("stays"), config_map("comes")]
    found = {each.key.name: each for each in differences(before, after)}
    assert {name: each.change for name, each in found.items()} == {
        "goes": Change.DELETE,
        "comes": Change.CREATE,
        "changes": Change.UPDATE,
    }
    assert "-  a: '1'" in found["changes"].lines
    assert "+  a: '2'" in found["changes"].lines
    assert list(summary(found.values())) == ["1 to create", "1 to change", "1 to delete"]


def test_what_helm_keeps_is_told():
    kept = config_map("data")
    kept["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    (found,) = differences([kept], [])
    assert found.kept


def test_a_new_version_of_the_chart_alone_is_no_change():
    old, new = config_map("a"), config_map("a")
    old["metadata"]["labels"] = {"helm.sh/chart": "x-1"}
    new["metadata"]["labels"] = {"helm.sh/chart": "x-2"}
    assert differences([old], [new]) == []


def test_kinds_of_the_same_name_are_told_apart():
    service = config_map("a") | {"kind": "Service"}
    assert differences([config_map("a"), service], [service, config_map("a")]) == []


def test_a_chart_against_itself_and_against_other_values():
    minimal = CHARTS / "gadgetron/values-minimal.yaml"
    one = render("gadgetron", minimal)
    assert differences(one, one) == []
    assert len(differences([], one)) == len(one)
    more = render("gadgetron", minimal, settings=("replicaCount=3",))
    (found,) = differences(one, more)
    assert found.key.name == "gt1-gadgetron-node"
    assert [line.strip("+- ") for line in found.lines if line[0] in "+-"] == [
        "replicas: 1",
        "replicas: 3",
    ]


def test_data_of_secrets_is_hidden_and_its_change_told():
    def secret(value: str, **more: str) -> dict[str, Any]:
        return config_map("s", **{"key": value, "same": SECRET}, **more) | {"kind": "Secret"}

    (found,) = differences([secret(SECRET)], [secret(SECRET + "2", new=SECRET)])
    text = "\n".join(found.lines)
    assert SECRET not in text
    assert "(hidden, as it was)" in text
    assert "(hidden, changed)" in text
    assert differences([secret(SECRET)], [secret(SECRET)]) == []


def test_variables_that_sound_secret_are_hidden():
    def pod(value: str) -> dict[str, Any]:
        variables = [{"name": "DB_PASSWORD", "value": value}, {"name": "MODE", "value": value}]
        each = config_map("p")
        return each | {"spec": {"containers": [{"name": "c", "env": variables}]}}

    (found,) = differences([pod("old")], [pod("new")])
    shown = [line for line in found.lines if "old" in line or "new" in line]
    assert len(shown) == 2  # MODE alone


def test_a_large_change_is_cut():
    old = config_map("a", **{f"k{i}": i for i in range(1000)})
    new = config_map("a", **{f"k{i}": -i for i in range(1000)})
    (found,) = differences([old], [new])
    assert len(found.lines) < 250
    assert "more lines" in found.lines[-1]


@given(trees, trees)
def test_nothing_secret_is_ever_shown(one, other):
    def planted(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: planted(value) for name, value in tree.items()}
        if isinstance(tree, list):
            return [planted(value) for value in tree]
        return f"{SECRET}{tree}"

    old = config_map("s") | {"kind": "Secret", "data": planted(one), "stringData": planted(other)}
    new = config_map("s") | {"kind": "Secret", "data": planted(other), "stringData": planted(one)}
    before = copy.deepcopy((old, new))
    assert SECRET not in str(hidden(old, new))
    assert SECRET not in str(differences([old], [new]))
    assert (old, new) == before


@given(trees, trees)
def test_what_is_not_secret_is_shown_as_it_is(one, other):
    assert hidden(one, other) == (one, other)
    assert (differences([config_map("a", x=one)], [config_map("a", x=one)])) == []
