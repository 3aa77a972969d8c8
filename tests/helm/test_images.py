"""What can be said of the images without building them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helm.harness import PATIENCE_S, ROOT

IMAGES = ROOT / "images"
DOCKERFILES = sorted(IMAGES.glob("*/Dockerfile"))
each_image = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)


def _instructions(path: Path) -> list[str]:
    text = re.sub(r"\\\n", " ", path.read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@each_image
def test_the_base_is_an_argument_with_a_version(path: Path):
    (base,) = [line for line in _instructions(path) if line.startswith("ARG BASE=")]
    assert re.search(r":[^/]+$", base)
    assert "latest" not in base
    stages = {line.split(" AS ")[1] for line in _instructions(path) if " AS " in line}
    for line in _instructions(path):
        if line.startswith("FROM "):
            assert line.split()[1] in {"${BASE}", *stages}


@each_image
def test_it_runs_as_a_user_of_no_rights_by_number(path: Path):
    last = [line for line in _instructions(path) if line.startswith(("FROM ", "USER "))][-1]
    assert last == "USER 10001:10001"


def test_the_image_tells_its_health_and_starts_a_node():
    lines = _instructions(IMAGES / "elastron" / "Dockerfile")
    assert [line for line in lines if line.startswith("HEALTHCHECK ")]
    assert 'ENTRYPOINT ["elastron"]' in lines
    assert lines[-1].startswith('CMD ["node"')


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock", "gpu.lock"])
def test_every_package_is_pinned_by_its_hash(name: str):
    text = re.sub(r"\\\n", " ", (IMAGES / "elastron" / name).read_text())
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            assert re.match(r"[A-Za-z0-9._\[\]-]+==\S+", line), line
            assert "--hash=sha256:" in line, line


def test_everything_that_is_needed_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["kubernetes"], *extras["postgresql"]]
    lock = (IMAGES / "elastron" / "requirements.lock").read_text().lower().replace("_", "-")
    for each in wanted:
        (name,) = re.findall(r"^[a-z0-9-]+", each.lower().replace("_", "-"))
        assert re.search(rf"^{name}==", lock, re.MULTILINE), f"{name}: renew the lock"


def test_what_the_wheel_takes_in_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    copied = {
        Path(source)
        for line in _instructions(IMAGES / "elastron" / "Dockerfile")
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    for path in included:
        assert copied & {Path(path), *Path(path).parents}, f"{path} is not in the build"


def test_the_bill_of_materials_names_python_and_debian_packages(tmp_path: Path):
    status = tmp_path / "status"
    status.write_text(
        "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13\n"
        "Description: library\n lines: of it\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    done = subprocess.run(
        [sys.executable, str(IMAGES / "elastron" / "sbom.py"), str(status)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    urls = [each["purl"] for each in bill["components"]]
    assert any(re.match(r"pkg:pypi/numpy@\d", each) for each in urls)
    (debian,) = [each for each in urls if each.startswith("pkg:deb/")]
    assert re.fullmatch(r"pkg:deb/\w+/zlib1g@1:1\.2\.13\?arch=amd64", debian)


def test_what_is_made_slim_still_works(tmp_path: Path):
    """On a copy of two packages that have all of it."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    package = site / "package"
    for path in ("tests/test_it.py", "deep/test/data.bin", "__pycache__/x.pyc", "elastron/test/x"):
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text("")
    for name in ("__init__.py", "fast.c", "fast.pyi", "data.json"):
        (package / name).write_text("")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    subprocess.run(
        ["sh", str(IMAGES / "elastron" / "slim.sh"), str(tmp_path)], check=True, timeout=PATIENCE_S
    )
    left = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert left == {"__init__.py", "data.json", "elastron/test/x"}
