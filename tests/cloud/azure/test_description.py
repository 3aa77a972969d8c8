from __future__ import annotations

import contextlib
import ipaddress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastron.cloud.azure.description import Aks, load_aks, make_aks, parse_aks
from elastron.cloud.azure.description_parts import Pool
from elastron.cloud.azure.sizes import Gpu, has_gpu, read_size
from elastron.errors import ConfigError
from tests.cloud.azure.descriptions import descriptions, everything


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(descriptions, st.booleans())
def test_what_is_shown_as_yaml_is_read_as_the_same(aks, defaults):
    assert parse_aks(aks.to_yaml(defaults=defaults)) == aks


def test_a_name_is_enough():
    aks = parse_aks("name: mr-recon")
    assert aks.location == "westus2"
    assert aks.group == "mr-recon-rg"
    assert aks.workspace == "mr-recon-logs"
    assert aks.storage_account == "mrreconsa"
    assert (aks.system_pool.min, aks.system_pool.max) == (1, 3)
    assert list(aks.pools) == ["userpool"]
    assert (aks.pools["userpool"].min, aks.pools["userpool"].max) == (0, 10)
    assert aks.registry is None
    assert aks.vpn is None
    assert aks.to_yaml() == "name: mr-recon\n"


def test_tables_with_nothing_in_them_have_their_defaults():
    aks = parse_aks("name: demo\nnetwork:\nmonitoring:\npools:\n  fast:\nregistry: {}\n")
    assert aks.pools == {"fast": Pool()}
    assert aks.registry is not None
    assert parse_aks("name: x\nregistry:\n").registry is None


def test_everything_can_be_said():
    aks = everything()
    assert aks.location == "westeurope"
    assert aks.pools["gpu"].all_taints == (
        "sku=gpu:NoSchedule",
        "kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
    )
    assert aks.all_tags == {"elastron": "mrrecon", "cost centre": "4711"}
    assert aks.system_pool.zones == ("1", "2", "3")


@pytest.mark.parametrize("text", ["- a", "name", "42"])
def test_what_is_no_table_is_refused(text):
    with pytest.raises(ConfigError, match="must be a table with the keys name, location"):
        parse_aks(text)


def test_nothing_is_a_description_without_a_name():
    with pytest.raises(ConfigError, match="name: Field required"):
        parse_aks("")


def test_what_is_no_yaml_is_refused():
    with pytest.raises(ConfigError, match=r"cluster\.yaml is not YAML"):
        parse_aks("a: [", "cluster.yaml")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["name: Field required"]),
        ({"name": ""}, ["name", "1 to 63 letters"]),
        ({"name": "-a"}, ["begins and ends with a letter or digit"]),
        ({"name": "a" * 64}, ["1 to 63"]),
        ({"name": "a.b"}, ["1 to 63 letters, digits, hyphens and underscores"]),
        ({"name": "x", "locaton": "y"}, ["locaton", "did you mean 'location'?"]),
        ({"name": "x", "location": "West-Europe!"}, ["written as westeurope"]),
        ({"name": "x", "resource_group": "ends."}, ["does not end with a full stop"]),
        ({"name": "x", "resource_group": "a" * 91}, ["1 to 90"]),
        ({"name": "x", "subscription": "mine"}, ["a GUID is written as"]),
        ({"name": "x", "kubernetes_version": "v1.34"}, ["written as 1.34 or 1.34.2"]),
        ({"name": "x", "pools": {"Fast": {}}}, ["1 to 12 small letters and digits"]),
        ({"name": "x", "pools": {"1st": {}}}, ["begins with a letter"]),
        ({"name": "x", "pools": {"verylongname1": {}}}, ["1 to 12"]),
        ({"name": "x", "pools": {"system": {}}}, ["the name of the system pool"]),
        ({"name": "x", "pools": {"p": {"min": 3, "max": 2}}}, ["min (3) is above max (2)"]),
        ({"name": "x", "system_pool": {"min": 0}}, ["system_pool.min"]),
        ({"name": "x", "system_pool": {"min": 4}}, ["min (4) is above max (3)"]),
        ({"name": "x", "pools": {"p": {"vm_size": "D4s"}}}, ["written as Standard_D4s_v5"]),
        ({"name": "x", "pools": {"p": {"vm_siz": "D4s"}}}, ["did you mean 'vm_size'?"]),
        ({"name": "x", "pools": {"gpu": {"maxi": 1}}}, ["pools.gpu.maxi", "did you mean 'max'?"]),
        ({"name": "x", "network": {"zzz": 1}}, ["known are private_cluster"]),
        ({"name": "x", "pools": {"p": {"taints": ["gpu"]}}}, ["key=value:NoSchedule"]),
        ({"name": "x", "pools": {"p": {"labels": {"a b": "c"}}}}, ["a label's key"]),
        ({"name": "x", "pools": {"p": {"labels": {"a": "c d"}}}}, ["a label's value"]),
        ({"name": "x", "storage": {"account": "My-Account"}}, ["3 to 24 small letters and digits"]),
        ({"name": "a" * 30}, ["storage.account, made from the name", "give one of yours"]),
        ({"name": "x", "storage": {"containers": ["A"]}}, ["a container's name has 3 to 63"]),
        ({"name": "x", "storage": {"containers": ["a--b"]}}, ["single inner hyphens"]),
        ({"name": "x", "storage": {"containers": ["abc", "abc"]}}, ["named twice"]),
        ({"name": "x", "registry": {"name": "my-registry"}}, ["5 to 50 letters and digits"]),
        ({"name": "ab", "registry": {}}, ["registry.name, made from the name"]),
        ({"name": "x", "monitoring": {"workspace": "a"}}, ["4 to 63"]),
        ({"name": "x", "tags": {"a/b": "c"}}, ["a tag's name"]),
        ({"name": "x", "tags": {"Elastron": "c"}}, ["`elastron` is set by itself"]),
        ({"name": "x", "network": {"range": "10.0.0.0"}}, ["nodes_range", "is not inside"]),
        ({"name": "x", "network": {"range": "10.224.0.1/16"}}, ["no IPv4 range"]),
        ({"name": "x", "network": {"nodes_range": "10.1.0.0/24"}}, ["is not inside range"]),
        ({"name": "x", "network": {"gateway_range": "10.224.0.0/24"}}, ["overlap"]),
        ({"name": "x", "network": {"gateway_range": "10.224.255.0/28"}}, ["smaller than /27"]),
        ({"name": "x", "network": {"pods_range": "10.224.0.0/17"}}, ["pods_range", "overlap"]),
        (
            {
                "name": "x",
                "network": {"private_cluster": True, "authorized_ranges": ["1.2.3.0/24"]},
            },
            ["takes no authorized_ranges"],
        ),
        ({"name": "x", "network": {"subnet": "nodes"}}, ["named by its full id"]),
        (
            {"name": "x", "vpn": {"clients_range": "10.224.9.0/24"}},
            ["vpn.clients_range", "overlap"],
        ),
        ({"name": "x", "vpn": {"sku": "VpnGw1"}}, ["vpn.sku"]),
        ({"name": "x", "fleet": {"pool": "fast"}}, ["there is no pool 'fast'; known: userpool"]),
        ({"name": "x", "fleet": {"release": "Gt1"}}, ["a name in Kubernetes"]),
        ({"name": "x", "upgrades": {"start": "25:00"}}, ["upgrades.start"]),
        (
            {
                "name": "x",
                "fleet": {"autoscaler": "hpa"},
                "monitoring": {"metrics": "managed"},
            },
            ["take keda, which asks the fleet itself"],
        ),
        ({"name": "x", "kubernetes_version": "1.33"}, ["needs Kubernetes 1.34", "or for nfs"]),
        ({"name": "x", "prices": {"vm/x": -1}}, ["prices.vm/x"]),
    ],
)
def test_what_azure_would_refuse_is_refused_with_what_is_allowed(values, words):
    with pytest.raises(ConfigError) as caught:
        make_aks(values, "cluster.yaml")
    message = str(caught.value)
    assert message.startswith("cluster.yaml: ")
    for word in words:
        assert word in message


def test_a_vpn_needs_a_network_of_its_own():
    subnet = (
        "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/a/providers"
        "/Microsoft.Network/virtualNetworks/b/subnets/c"
    )
    with pytest.raises(ConfigError, match=r"leave network\.subnet out"):
        make_aks({"name": "x", "vpn": {}, "network": {"subnet": subnet}})


names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", fullmatch=True)


@given(names)
def test_names_made_from_any_cluster_name_are_allowed(name):
    aks = make_aks(
        {
            "name": name,
            "storage": {"account": "mine123", "share_account": "other456"},
            "registry": {"name": "mine123"},
        }
    )
    assert 1 <= len(aks.dns_prefix) <= 54
    assert set(aks.dns_prefix) <= set(name.replace("_", "-"))
    assert not aks.dns_prefix.endswith("-")
    assert 4 <= len(aks.workspace) <= 63
    assert len(aks.group) <= 90
    assert len(aks.node_group) <= 80
    other = make_aks({"name": "other", "resource_group": aks.group})
    assert other.node_group != aks.node_group


def test_the_dns_service_is_the_tenth_address():
    aks = make_aks({"name": "x", "network": {"services_range": "10.9.0.0/20"}})
    assert aks.network.dns_service_ip == "10.9.0.10"
    address = ipaddress.IPv4Address(aks.network.dns_service_ip)
    assert address in ipaddress.IPv4Network(aks.network.services_range)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("name: mr\n")
    assert load_aks(path).name == "mr"
    path.write_text("name: mr\nlocaton: x\n")
    with pytest.raises(ConfigError, match=r"cluster\.yaml: locaton"):
        load_aks(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_aks(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="too large"):
        load_aks(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_aks(tmp_path / "none.yaml")


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*Aks.model_fields, "x"]), inner, max_size=4)
        ),
        max_leaves=10,
    )
)
def test_any_yaml_is_read_or_refused_with_words(values):
    with contextlib.suppress(ConfigError):
        parse_aks(yaml.safe_dump(values))


@pytest.mark.parametrize(
    ("size", "family", "cores", "gpu"),
    [
        ("Standard_D4s_v5", "D", 4, Gpu.NONE),
        ("Standard_DS2_v2", "DS", 2, Gpu.NONE),
        ("Standard_F8s_v2", "F", 8, Gpu.NONE),
        ("Standard_E16-4ds_v5", "E", 4, Gpu.NONE),
        ("Standard_M208ms_v2", "M", 208, Gpu.NONE),
        ("Standard_HB120rs_v3", "HB", 120, Gpu.NONE),
        ("Standard_NC4as_T4_v3", "NC", 4, Gpu.NVIDIA),
        ("Standard_NC6s_v3", "NC", 6, Gpu.NVIDIA),
        ("Standard_NC24ads_A100_v4", "NC", 24, Gpu.NVIDIA),
        ("Standard_NC40ads_H100_v5", "NC", 40, Gpu.NVIDIA),
        ("Standard_ND96asr_v4", "ND", 96, Gpu.NVIDIA),
        ("Standard_ND96isr_MI300X_v5", "ND", 96, Gpu.AMD),
        ("Standard_NV36ads_A10_v5", "NV", 36, Gpu.NVIDIA),
        ("Standard_NV8as_v4", "NV", 8, Gpu.AMD),
        ("Standard_NG32ads_V620_v1", "NG", 32, Gpu.AMD),
        ("Standard_NP10s", "NP", 10, Gpu.NONE),
    ],
)
def test_sizes_tell_cores_and_gpus_by_their_names(size, family, cores, gpu):
    parts = read_size(size)
    assert parts is not None
    assert (parts.family, parts.cores, parts.gpu) == (family, cores, gpu)
    assert has_gpu(size) is (gpu is Gpu.NVIDIA)


def test_a_size_of_no_known_form_has_no_gpu():
    assert read_size("Standard_Strange") is None
    assert not has_gpu("Standard_Strange")


def test_whether_there_are_gpus_can_be_said():
    assert make_aks({"name": "x", "pools": {"p": {"gpu": True}}}).pools["p"].has_gpu
    sized = {"vm_size": "Standard_NC4as_T4_v3", "gpu": False}
    assert make_aks({"name": "x", "pools": {"p": sized}}).pools["p"].all_taints == ()


@pytest.mark.parametrize("version", ["1.34", "1.30"])
def test_a_version_without_quotes_is_no_version(version):
    with pytest.raises(ConfigError, match="write it in quotes"):
        parse_aks(f"name: x\nkubernetes_version: {version}\n")
    assert parse_aks("name: x\nkubernetes_version: '1.35'\n").kubernetes_version == "1.35"


@pytest.mark.parametrize("start", ["01:00", "09:30", "10:00", "22:15", "23:59", "00:00"])
@pytest.mark.parametrize("offset", ["+01:00", "-05:30", "+10:00", "-11:00", "+00:00"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_times_are_read_with_and_without_quotes(start, offset, quote):
    text = (
        f"name: x\nupgrades: {{start: {quote}{start}{quote}, utc_offset: {quote}{offset}{quote}}}"
    )
    aks = parse_aks(text)
    assert (aks.upgrades.start, aks.upgrades.utc_offset) == (start, offset)


def test_numbers_are_text_in_tags_and_labels():
    aks = parse_aks("name: x\ntags: {cost: 4711}\npools: {p: {labels: {row: 2}}}")
    assert aks.tags == {"cost": "4711"}
    assert aks.pools["p"].labels == {"row": "2"}
    with pytest.raises(ConfigError, match=r"tags\.on: YAML does not take True for text"):
        parse_aks("name: x\ntags: {'on': yes}")
