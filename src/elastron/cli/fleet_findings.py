"""What the parts of `elastron deploy check` find, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elastron.cli.checking import Verdict
from elastron.cloud.checks import Finding, fail, ok
from elastron.cloud.release import Pool


def verdict_finding(verdict: Verdict) -> Finding:
    """What a scan's verdict says of the fleet."""
    if verdict.problem:
        return fail(f"{verdict.config}: {verdict.problem}", "elastron configs; kubectl logs")
    return ok(f"{verdict.config}: {figures(verdict)}")


def figures(verdict: Verdict) -> str:
    """Images, difference and time, for people."""
    words = f"{verdict.images} image{'' if verdict.images == 1 else 's'}"
    if verdict.difference is not None:
        words += f", difference {verdict.difference:.1e}"
    return f"{words}, {verdict.seconds:.1f} s"


def grown_finding(before: Pool, now: Pool, scans: int) -> Finding:
    """Whether a pool has grown under so many scans."""
    if now.wanted <= before.wanted:
        return fail(
            f"{scans} scans at once, and pool {before.name} stays at {now.wanted} nodes"
            + scaler_problem(now),
            f"kubectl describe hpa {before.workload}",
        )
    if now.ready <= before.ready:
        return fail(
            f"pool {before.name} is to have {now.wanted} nodes, but {now.ready} are ready",
            "kubectl describe pods: is there room for one more?",
        )
    return ok(f"pool {before.name} grew from {before.wanted} to {now.wanted} nodes")


def scaler_problem(pool: Pool) -> str:
    """Why its autoscaler does not work, as the end of a sentence; empty: it does."""
    return f": {pool.scaler.problem}" if pool.scaler and pool.scaler.problem else ""


def held_findings(verdicts: Sequence[Verdict | None]) -> Iterator[Finding]:
    """Whether scans that were held are right; None: one that did not end."""
    bad = [each for each in verdicts if each is None or each.problem]
    if not bad:
        yield ok(f"all {len(verdicts)} scans are right")
        return
    why = {"it did not end in time" if each is None else each.problem for each in bad}
    yield fail(f"{len(bad)} of {len(verdicts)} scans: {'; '.join(sorted(why))}", "kubectl logs")
