"""Every `az` line that we tell people is one that the real azure-cli's argument parser takes."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PARTS = Path(os.environ.get("ELASTRON_TEST_PARTS", "/opt/elastron-test-parts"))
PYTHON = PARTS / "azure-cli/bin/python"

needs_azure_cli = pytest.mark.skipif(
    not PYTHON.exists(), reason="azure-cli is not installed (.ci/azure-cli-parts.sh)"
)

_FENCE = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(az [^`\n]+)`")
_SUBSTITUTION = re.compile(r"\$\((az [^()]+)\)")
# In a sentence a command ends where the punctuation begins.
_IN_PROSE = re.compile(r"\baz [a-z][\w-]*(?: [\w./{}'-]+)*")


def _of_shell(text: str) -> Iterator[str]:
    for whole in text.replace("\\\n", " ").splitlines():
        line = whole.split(" # ")[0].strip().removeprefix("$ ")
        yield from (each.split(" | ")[0] for each in _SUBSTITUTION.findall(line))
        if line.startswith("az "):
            yield re.split(r"\s(?:\||>|&&|;|2>)", _SUBSTITUTION.sub("X", line))[0]


def _of_page(text: str) -> Iterator[str]:
    for block in _FENCE.findall(text):
        yield from _of_shell(block)
    yield from _INLINE.findall(_FENCE.sub("", text))


def _strings(tree: ast.AST) -> Iterator[str]:
    """Texts of a module; what is put into them is a word."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner.update(node.values)
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "WORD"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            yield node.value


def _of_code(text: str) -> Iterator[str]:
    for each in _strings(ast.parse(text)):
        for found in _IN_PROSE.findall(" ".join(each.split())):
            yield re.sub(r"\{\w+\}", "WORD", found.rstrip("."))


def _lines() -> dict[str, str]:
    """Line -> a place where it is."""
    found: dict[str, str] = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for line in _of_page(path.read_text()):
            found.setdefault(line, str(path.relative_to(ROOT)))
    for path in sorted((ROOT / "scripts").glob("*.sh")):
        for line in _of_shell(path.read_text()):
            found.setdefault(line, str(path.relative_to(ROOT)))
    code = [
        *(ROOT / "src/elastron/cloud/azure").rglob("*.py"),
        *(ROOT / "src/elastron/cli").glob("aks*.py"),
    ]
    for path in sorted(code):
        for line in _of_code(path.read_text()):
            found.setdefault(line, str(path.relative_to(ROOT)))
    return found


def _ask(lines: list[list[str]]) -> list[str | None]:
    """What azure-cli's parser says of each line; None: it takes it."""
    environment = {
        **os.environ,
        "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_CORE_NO_COLOR": "yes",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, it starts in seconds
    checker = Path(__file__).with_name("az_checker.py")
    done = subprocess.run(
        [str(PYTHON), "-s", str(checker)],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == len(lines)
    return answers


def _only_named(line: str, answer: str) -> bool:
    """Whether a sentence only names a command, as in `choose with az account set`."""
    return " -" not in line and "following arguments are required" in answer


def test_there_are_lines_of_all_kinds():
    places = set(_lines().values())
    assert any(place.startswith("docs/how-to/") for place in places)
    assert any(place.startswith("src/") for place in places)


_RIGHT = ["aks", "create", "-n", "a", "-g", "b"]
# A command that there is not is told as well, but only after loading all commands there are.
_WRONG = [
    [*_RIGHT, "--enable-workload-identiti"],
    ["aks", "show", "-n", "a"],
    ["account", "show", "-o", "tabel"],
]


@pytest.fixture(scope="module")
def answers() -> list[str | None]:
    """What azure-cli says of the lines above and of ours; asked at once, for it starts slowly."""
    return _ask([_RIGHT, *_WRONG, *(shlex.split(line)[1:] for line in _lines())])


@needs_azure_cli
def test_azure_cli_takes_every_line(answers):
    lines = _lines()
    ours = answers[1 + len(_WRONG) :]
    wrong = [
        f"{place}: {line}\n    {answer}"
        for (line, place), answer in zip(lines.items(), ours, strict=True)
        if answer is not None and not (place.startswith("src/") and _only_named(line, answer))
    ]
    assert not wrong, "\n".join(wrong)


@needs_azure_cli
def test_the_parser_refuses_what_is_wrong(answers):
    right, *wrong = answers[: 1 + len(_WRONG)]
    assert right is None
    assert "unrecognized arguments" in wrong[0]
    assert all(wrong)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("```sh\naz group create -n a \\\n  -l b  # here\n```", ["az group create -n a    -l b"]),
        ("```sh\nX=$(az aks show -n a | head -1)\n```", ["az aks show -n a"]),
        ("Say `az login` first, not `azure`.", ["az login"]),
        ("```yaml\naz: no\n```", []),
        ("```sh\n$ az aks list | jq .\n```", ["az aks list"]),
    ],
)
def test_what_counts_as_a_line(text, lines):
    assert [" ".join(x.split()) for x in _of_page(text)] == [" ".join(x.split()) for x in lines]


def test_what_counts_as_a_line_in_code():
    code = 'a = f"See az vm list-skus -l {b} -o table; or az login."\nc = "blaze az"'
    assert list(_of_code(code)) == ["az vm list-skus -l WORD -o table", "az login"]
