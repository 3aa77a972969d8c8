"""Options that commands for clusters share: which cluster, which namespace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elastron.errors import ConfigError

if TYPE_CHECKING:
    from elastron.cloud.helm import Helm
    from elastron.cloud.kubectl import Kubectl

Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", metavar="NAME", help="Namespace [the context's, else default]."
    ),
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Context of the kubeconfig [the current one]."),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Kubeconfig [KUBECONFIG, else ~/.kube/config].", exists=True),
]


def open_cluster(
    namespace: str | None, context: str | None, kubeconfig: Path | None
) -> tuple[Helm, Kubectl, str]:
    """Both programs for one cluster, and the namespace meant.

    Raises:
        ConfigError: there is no kubectl, or nothing says which cluster.
    """
    import os  # noqa: PLC0415

    from elastron.cloud.helm import Helm  # noqa: PLC0415  - see elastron.cli
    from elastron.cloud.kubectl import Kubectl  # noqa: PLC0415

    kubectl = Kubectl(kubeconfig=kubeconfig, context=context, namespace=namespace)
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
    if context is None and not in_cluster and not kubectl.current_context():
        raise ConfigError(
            "No cluster is chosen. Give --kubeconfig, or choose one of yours: "
            "kubectl config get-contexts, then kubectl config use-context NAME."
        )
    if namespace is None:
        kubectl.namespace = kubectl.current_namespace()
    assert kubectl.namespace is not None  # noqa: S101  - set above
    return Helm(kubeconfig=kubeconfig, context=context), kubectl, kubectl.namespace
