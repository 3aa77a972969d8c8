"""Deploying, step by step, for whoever watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from rich.status import Status
from rich.text import Text

from elastron.cli.console import print_json, show_error, show_remark, stderr, stdout
from elastron.cloud.checks import Finding, Result
from elastron.cloud.deployment import Plan, Wish, carry_out, prepare
from elastron.cloud.diff import Change, Difference, summary
from elastron.cloud.helm import Helm, Release
from elastron.cloud.kubectl import Kubectl
from elastron.errors import ConfigError, ElastronError

__all__ = ["Deployment", "Wish"]

MARKS = {Result.OK: ("✓", "green"), Result.WARN: ("!", "yellow"), Result.FAIL: ("✗", "red")}
_CHANGES = {
    Change.CREATE: ("+", "green"),
    Change.UPDATE: ("~", "yellow"),
    Change.DELETE: ("-", "red"),
}
_LINES = {"+": "green", "-": "red", "@": "dim"}


class Deployment:
    """One deployment in front of a person, or as JSON for a script.

    Args:
        helm: to install by.
        kubectl: to ask and look by.
        wish: what is to be deployed.
        json: one document on stdout at the end, no questions shown there.
    """

    def __init__(self, helm: Helm, kubectl: Kubectl, wish: Wish, *, json: bool) -> None:
        self._helm = helm
        self._kubectl = kubectl
        self._wish = wish
        self._json = json
        self._told: set[str] = set()

    def run(self, *, dry_run: bool, yes: bool, force: bool) -> bool:
        """Check, show, ask, install, tell.

        Args:
            dry_run: end after showing.
            yes: do not ask.
            force: go on though checks failed.

        Returns:
            All went as wished; False: a check failed, or the person said no.

        Raises:
            ElastronError: it cannot be looked at, or installing failed.
        """
        with self._busy("Looking at chart and cluster"):
            plan = prepare(self._helm, self._kubectl, self._wish)
        if not self._json:
            self._show(plan)
        release: Release | None = None
        problem = ""
        reached = bool(plan.cluster)
        go = reached and not dry_run and (plan.possible or force)
        if go and (yes or self._agreed()):
            try:
                release = self._install(plan)
            except ElastronError as error:
                if not self._json:
                    raise
                problem = str(error)
        if self._json:
            print_json(_as_json(plan, release, problem))
        elif release is not None:
            self._tell(release)
        elif not plan.possible and not dry_run:
            show_error("Nothing was changed: a check failed. --force goes on all the same.")
        if dry_run:
            return plan.possible
        return release is not None

    def _install(self, plan: Plan) -> Release:
        name = self._wish.release
        with self._busy(f"Installing {name}") as status:

            def progress(counts: Mapping[str, tuple[int, int]], problems: list[str]) -> None:
                parts = [f"{each} {ready}/{wanted}" for each, (ready, wanted) in counts.items()]
                status.update(Text(f"Waiting for {', '.join(parts)}"))
                for problem in problems:
                    if problem not in self._told:
                        self._told.add(problem)
                        show_remark(problem)

            return carry_out(self._helm, self._kubectl, plan, progress)

    def _agreed(self) -> bool:
        if not somebody_there():
            raise ConfigError("Nobody is there to be asked: say --yes to install, or --dry-run.")
        return typer.confirm(
            f"Install {self._wish.release} in namespace {self._wish.namespace}?", err=True
        )

    def _busy(self, words: str) -> Status:
        return stderr().status(words)

    # --- what is shown --------------------------------------------------------------------------

    def _show(self, plan: Plan) -> None:
        out = stdout()
        out.print(Text("Checks", style="bold"))
        for finding in plan.findings:
            out.print(finding_line(finding), soft_wrap=True)
        if not plan.cluster:
            return
        wish = self._wish
        what = "new" if plan.installed is None else f"revision {plan.installed.revision}"
        title = Text(f"Release {wish.release} in {wish.namespace} ({what})", style="bold")
        words = ", ".join(summary(plan.differences)) or "no object changes"
        out.print(title + Text(f": {words}", style="not bold"), soft_wrap=True)
        for difference in plan.differences:
            for line in _difference_lines(difference):
                out.print(line, soft_wrap=True)

    def _tell(self, release: Release) -> None:
        out = stdout()
        what = "installed" if release.revision == 1 else f"at revision {release.revision}"
        out.print(Text(f"✓ {release.name} is {what}", style="green"))
        for words, command in _next_commands(self._wish, self._kubectl.namespace or "default"):
            out.print(f"{words:<12} {command}", soft_wrap=True, markup=False)


def somebody_there() -> bool:
    """Whether a question would be answered."""
    return sys.stdin.isatty()


def finding_line(finding: Finding) -> Text:
    """A finding for people: mark, what was found, and below it what to do."""
    mark, style = MARKS[finding.result]
    line = Text(f" {mark} ", style=style).append(
        finding.what.replace("\n", "\n     "), style="default"
    )
    if finding.todo:
        line.append(f"\n     → {finding.todo}", style="dim")
    return line


def _difference_lines(difference: Difference) -> Iterator[Text]:
    mark, style = _CHANGES[difference.change]
    kept = "  (kept: it outlives the release)" if difference.kept else ""
    yield Text(f" {mark} ", style=style).append(f"{difference.key}{kept}", style="default")
    for line in difference.lines:
        yield Text(f"     {line}", style=_LINES.get(line[:1], "default"))


def _next_commands(wish: Wish, namespace: str) -> Iterator[tuple[str, str]]:
    where = f" -n {namespace}"
    if wish.context is not None:
        where += f" --context {wish.context}"
    if wish.chart == "gadgetron":
        yield "Connect:", f"elastron connect {wish.release}{where}"
        yield "Check it:", f"elastron deploy check {wish.release}{where} --only scan,storage"
    yield "Look at it:", f"kubectl get pods{where} -l app.kubernetes.io/instance={wish.release}"


def _as_json(plan: Plan, release: Release | None, problem: str) -> dict[str, Any]:
    wish = plan.wish
    return {
        "release": wish.release,
        "namespace": wish.namespace,
        "chart": str(plan.chart),
        "cluster": plan.cluster or None,
        "possible": plan.possible,
        "findings": [findings_json(each) for each in plan.findings],
        "changes": [
            {
                "change": each.change.value,
                "kind": each.key.kind,
                "name": each.key.name,
                "lines": list(each.lines),
                "kept": each.kept,
            }
            for each in plan.differences
        ],
        "revision": None if release is None else release.revision,
        "status": None if release is None else release.status,
        "problem": problem or None,
    }


def findings_json(finding: Finding) -> dict[str, Any]:
    """A finding for scripts."""
    return {
        "result": finding.result.value,
        "what": finding.what,
        "todo": finding.todo or None,
    }
