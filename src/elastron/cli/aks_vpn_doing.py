"""`elastron aks vpn`, step by step."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from elastron.cli.aks_running import agreed, opened, run_proposal, show_changes
from elastron.cli.console import counted, print_json, show_remark, stderr, stdout
from elastron.cloud.azure.description import Aks, make_aks, parse_aks
from elastron.cloud.azure.plan_report import changes_json
from elastron.errors import ConfigError

if TYPE_CHECKING:
    from elastron.cli.aks_vpn_folder import VpnFolder
    from elastron.cloud.azure.certificates import Certificate
    from elastron.cloud.azure.vpn_check import RouteFinding


def vpn_up(
    aks: Aks,
    folder: Path,
    *,
    subscription: str | None,
    renew_root: bool,
    plan: bool,
    yes: bool,
    json: bool,
) -> bool:
    """Make the gateway with the folder's root certificates.

    Returns:
        Whether it is there now; with `plan` whether it could be.
    """
    from elastron.cloud.azure.vpn_check import check_overlap, local_networks  # noqa: PLC0415

    place = _folder(folder, aks)
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.vpn_plan import as_found, propose_vpn  # noqa: PLC0415

        aks = as_found(engine, aks)
        for finding in check_overlap(aks, local_networks()):
            show_remark(finding.text)
        now = datetime.now(UTC)
        if plan and not place.roots():
            show_remark(f"A root certificate will be made in {folder}.")
        elif not plan:
            root, fresh = place.ensure_root(now, renew=renew_root)
            if fresh:
                show_remark(
                    f"{folder} holds the new root certificate {root.name}, good until "
                    f"{root.ends:%Y-%m-%d}, and its key: keep that folder safe."
                )
        aks = _with(aks, "root_certificates", place.public_roots(now))
        return run_proposal(engine, propose_vpn(engine, aks), plan=plan, yes=yes, json=json)


def make_profile(
    aks: Aks,
    folder: Path,
    site: str,
    *,
    subscription: str | None,
    renew: bool,
    p12: bool,
    json: bool,
) -> None:
    """A client's certificate and profile, written into the folder."""
    from elastron.cloud.azure.certificates import check_name, pkcs12  # noqa: PLC0415
    from elastron.cloud.azure.vpn_profile import (  # noqa: PLC0415
        ask_package,
        openvpn_profile,
        strongswan_profile,
    )

    check_name(site)
    place = _folder(folder, aks)
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.vpn_plan import as_found, gateway_of  # noqa: PLC0415

        gateway, version = gateway_of(engine, aks)
        aks = as_found(engine, aks)
        with stderr().status("Azure makes the package for the gateway's clients"):
            package = ask_package(engine.arm, gateway, version)
    place.keep_gateway(package.server, package.routes, aks.to_yaml())
    client, fresh = place.ensure_client(site, datetime.now(UTC), renew=renew)
    written: list[Path] = []
    if package.openvpn is not None:
        written.append(place.put(site, ".ovpn", openvpn_profile(package, client)))
    if package.server_root is not None:
        written.append(place.put(site, ".swanctl.conf", strongswan_profile(package, client)))
        written.append(place.put("VpnServerRoot", ".cer", package.server_root))
    if p12:
        root = next(each for each in reversed(place.roots()) if each.signed(client))
        password = secrets.token_urlsafe(18)
        written.append(place.put(site, ".p12", pkcs12(client, root, password)))
        written.append(place.put(site, ".p12-password", password + "\n"))
    if json:
        row = _row(client, "client")
        print_json({**row, "new": fresh, "files": [str(path) for path in written]})
        return
    what = "new certificate" if fresh else "certificate"
    stdout().print(f"{site}: {what}, good until {client.ends:%Y-%m-%d}", markup=False)
    for path in written:
        stdout().print(f"  {path}", markup=False, soft_wrap=True)
    show_remark("These files are secrets: who has them can dial in.")


def check_client(aks: Aks, folder: Path, *, target: str | None, json: bool) -> bool:
    """Whether this computer, which dialled in, reaches the cluster's network.

    Returns:
        Whether nothing stands against it.
    """
    from elastron.cloud.azure import vpn_check  # noqa: PLC0415

    routes, description = _folder(folder, aks).gateway()
    aks = parse_aks(description, str(folder))
    networks = vpn_check.local_networks()
    inside = _first_address(aks.network.nodes_range)
    findings = vpn_check.check_routes(aks, routes, vpn_check.source_address(inside), networks)
    if target is not None:
        host, port = _host_port(target)
        problem = vpn_check.answers(host, port)
        text = f"{target} answers" if problem is None else f"{target} does not answer: {problem}"
        findings.append(vpn_check.RouteFinding(problem is None, text))
    if json:
        print_json([{"ok": each.ok, "text": each.text} for each in findings])
    else:
        for each in findings:
            stdout().print(_line(each), soft_wrap=True)
    return all(each.ok is not False for each in findings)


def show_certificates(aks: Aks, folder: Path, *, json: bool) -> None:
    """What the folder holds."""
    place = _folder(folder, aks)
    rows = [_row(each, "root") for each in place.roots()]
    rows += [_row(each, "client") for each in place.clients()]
    if json:
        print_json(rows)
        return
    from rich.table import Table  # noqa: PLC0415

    table = Table("name", "kind", "signed by", "ends", "thumbprint", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["name"], row["kind"], row["issuer"], row["ends"][:10], row["thumbprint"])
    stdout().print(table)


def revoke_client(
    aks: Aks,
    folder: Path,
    site: str,
    *,
    subscription: str | None,
    plan: bool,
    yes: bool,
    json: bool,
) -> bool:
    """Revoke all certificates of a client at the gateway.

    Returns:
        Whether they are revoked now; with `plan` whether they could be.
    """
    place = _folder(folder, aks)
    revoked = {f"{site}-{each.thumbprint[:8]}": each.thumbprint for each in place.issued(site)}
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.vpn_plan import as_found, gateway_of, propose_vpn  # noqa: PLC0415

        gateway_of(engine, aks)
        aks = _with(
            as_found(engine, aks), "root_certificates", place.public_roots(datetime.now(UTC))
        )
        aks = _with(aks, "revoked_thumbprints", revoked)
        done = run_proposal(engine, propose_vpn(engine, aks), plan=plan, yes=yes, json=json)
    if done and not plan:
        place.forget(site)
    return done


def vpn_down(aks: Aks, *, subscription: str | None, plan: bool, yes: bool, json: bool) -> bool:
    """Delete the gateway and its address.

    Returns:
        Whether they are gone; with `plan` True.
    """
    with opened(subscription or aks.subscription) as engine:
        from elastron.cloud.azure.vpn_plan import (  # noqa: PLC0415
            as_found,
            carry_out_down,
            propose_vpn_down,
        )

        changes, found = propose_vpn_down(engine, as_found(engine, aks))
        if not json:
            show_changes(changes)
        if not plan and changes:
            question = f"Delete {counted(len(changes), 'resource')}? Nobody can dial in then."
            if not agreed(question, yes=yes):
                return False
            carry_out_down(engine, changes, found)
    if json:
        print_json(changes_json(changes))
    return True


def _folder(path: Path, aks: Aks) -> VpnFolder:
    import cryptography as _  # noqa: F401, PLC0415  - of the extra `azure`; told where missing

    from elastron.cli.aks_vpn_folder import VpnFolder  # noqa: PLC0415

    return VpnFolder(path, aks.name)


def _with(aks: Aks, key: str, values: dict[str, str]) -> Aks:
    """The description with more certificates in its VPN."""
    tree: dict[str, Any] = aks.model_dump(mode="json", exclude_unset=True)
    vpn = dict(tree.get("vpn") or {})
    vpn[key] = {**(vpn.get(key) or {}), **values}
    return make_aks({**tree, "vpn": vpn})


def _row(certificate: Certificate, kind: str) -> dict[str, Any]:
    return {
        "name": certificate.name,
        "kind": kind,
        "issuer": certificate.issuer,
        "ends": certificate.ends.isoformat(),
        "thumbprint": certificate.thumbprint,
    }


def _line(finding: RouteFinding) -> Text:
    marks = {True: ("✓", "green"), False: ("✗", "red"), None: ("!", "yellow")}
    mark, style = marks[finding.ok]
    return Text(f"{mark} ", style=style).append(finding.text, style="default")


def _first_address(network: str) -> str:
    import ipaddress  # noqa: PLC0415

    # Azure keeps the first four of a subnet for itself; the fifth is the first node's.
    return str(ipaddress.IPv4Network(network)[4])


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"--target takes HOST:PORT, not {text!r}.")
    return host.strip("[]"), int(port)
