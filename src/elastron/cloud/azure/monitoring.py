"""Where logs and metrics go: Log Analytics, and Azure's managed Prometheus."""

from __future__ import annotations

from elastron.cloud.azure.build import extension, in_group, resource_id
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_services import Metrics
from elastron.cloud.azure.names import derived
from elastron.cloud.azure.resource import Body, Facts, Resource

_WORKSPACE_KIND = "Microsoft.OperationalInsights/workspaces"
_METRICS_KIND = "Microsoft.Monitor/accounts"
_ENDPOINT_KIND = "Microsoft.Insights/dataCollectionEndpoints"
_RULE_KIND = "Microsoft.Insights/dataCollectionRules"
_LINK_KIND = "Microsoft.Insights/dataCollectionRuleAssociations"

# What the agents on the nodes send; ContainerLogV2 is the table that replaced ContainerLog.
_LOG_STREAMS = ["Microsoft-ContainerLogV2", "Microsoft-KubeEvents", "Microsoft-KubePodInventory"]


def workspace_id(aks: Aks, facts: Facts) -> str:
    """Full id of the Log Analytics workspace."""
    return resource_id(aks, facts, _WORKSPACE_KIND, aks.workspace)


def stores(aks: Aks, facts: Facts) -> list[Resource]:
    """What receives logs and metrics; made before the cluster."""
    made: list[Resource] = []
    if aks.monitoring.logs:
        cap = aks.monitoring.daily_cap_gb
        properties: Body = {
            "sku": {"name": "PerGB2018"},
            "retentionInDays": aks.monitoring.retention_days,
            "workspaceCapping": {"dailyQuotaGb": -1 if cap is None else cap},
        }
        made.append(
            in_group(
                aks, facts, "logs", _WORKSPACE_KIND, aks.workspace, body={"properties": properties}
            )
        )
    if aks.monitoring.metrics is Metrics.MANAGED:
        made.append(in_group(aks, facts, "metrics", _METRICS_KIND, _metrics_name(aks), body={}))
    return made


def rules(aks: Aks, facts: Facts, cluster: str) -> list[Resource]:
    """What is collected from the cluster, and where it goes.

    Args:
        aks: the description.
        facts: what only Azure knows.
        cluster: full id of the cluster.
    """
    made: list[Resource] = []
    if aks.monitoring.logs:
        made += _log_rules(aks, facts, cluster)
    if aks.monitoring.metrics is Metrics.MANAGED:
        made += _metric_rules(aks, facts, cluster)
    return made


def _log_rules(aks: Aks, facts: Facts, cluster: str) -> list[Resource]:
    name = derived(aks.name, "-logs-rule", 64)
    source: Body = {
        "name": "ContainerInsightsExtension",
        "extensionName": "ContainerInsights",
        "streams": _LOG_STREAMS,
        "extensionSettings": {
            "dataCollectionSettings": {
                "interval": "1m",
                "namespaceFilteringMode": "Off",
                "enableContainerLogV2": True,
            }
        },
    }
    properties: Body = {
        "dataSources": {"extensions": [source]},
        "destinations": {
            "logAnalytics": [{"name": "workspace", "workspaceResourceId": workspace_id(aks, facts)}]
        },
        "dataFlows": [{"streams": _LOG_STREAMS, "destinations": ["workspace"]}],
    }
    return [
        in_group(
            aks,
            facts,
            "logs/rule",
            _RULE_KIND,
            name,
            body={"kind": "Linux", "properties": properties},
        ),
        _link(
            "logs/link",
            "ContainerInsightsExtension",
            cluster,
            resource_id(aks, facts, _RULE_KIND, name),
        ),
    ]


def _metric_rules(aks: Aks, facts: Facts, cluster: str) -> list[Resource]:
    endpoint = derived(aks.name, "-metrics", 44)
    rule = derived(aks.name, "-metrics-rule", 64)
    stream = ["Microsoft-PrometheusMetrics"]
    properties: Body = {
        "dataCollectionEndpointId": resource_id(aks, facts, _ENDPOINT_KIND, endpoint),
        "dataSources": {
            "prometheusForwarder": [{"name": "PrometheusDataSource", "streams": stream}]
        },
        "destinations": {
            "monitoringAccounts": [
                {
                    "name": "account",
                    "accountResourceId": resource_id(aks, facts, _METRICS_KIND, _metrics_name(aks)),
                }
            ]
        },
        "dataFlows": [{"streams": stream, "destinations": ["account"]}],
    }
    public: Body = {"networkAcls": {"publicNetworkAccess": "Enabled"}}
    return [
        in_group(
            aks,
            facts,
            "metrics/endpoint",
            _ENDPOINT_KIND,
            endpoint,
            body={"kind": "Linux", "properties": public},
        ),
        in_group(
            aks,
            facts,
            "metrics/rule",
            _RULE_KIND,
            rule,
            body={"kind": "Linux", "properties": properties},
        ),
        _link(
            "metrics/link",
            "ContainerInsightsMetricsExtension",
            cluster,
            resource_id(aks, facts, _RULE_KIND, rule),
        ),
    ]


def _link(key: str, name: str, cluster: str, rule_id: str) -> Resource:
    body: Body = {"properties": {"dataCollectionRuleId": rule_id}}
    return extension(key, cluster, _LINK_KIND, name, body)


def _metrics_name(aks: Aks) -> str:
    return derived(aks.name, "-metrics", 44)
