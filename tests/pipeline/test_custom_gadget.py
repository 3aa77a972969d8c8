"""The example package: it installs, a config finds it, and the how-to page shows it as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "custom-gadget"
PAGE = (ROOT / "docs" / "how-to" / "custom-gadget.md").read_text()

SCRIPT = """
import sys
import numpy as np
import elastron
from elastron.errors import ConfigError
from elastron.gadgets.registry import find_gadget, gadget_names

assert "MeanOverRepetitionsGadget" in gadget_names()
*single, mean = elastron.reconstruct(sys.argv[1], sys.argv[2])
assert len(single) == 10
assert mean.header["image_series_index"] == 42
np.testing.assert_allclose(mean.data, np.mean([image.data for image in single], axis=0), rtol=1e-5)
assert mean.meta["GADGETRON_ImageComment"] == ["mean of 10 repetitions"]
xml = open(sys.argv[2], "rb").read().replace(b'value="42"', b'value="many"')
try:
    elastron.reconstruct(sys.argv[1], xml)
except ConfigError as error:
    assert "'series'" in str(error) and "a whole number" in str(error), error
else:
    raise AssertionError("a wrong value was taken")
print("ok")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed into a folder of its own, without network."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "custom-gadget"
    subprocess.run(["cp", "-r", EXAMPLE, source], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-index", "--no-deps", "--no-build-isolation", "--target", folder, source],
        check=True,
        timeout=120,
    )  # fmt: skip
    return folder


def test_an_installed_gadget_runs(installed: Path) -> None:
    scan = ROOT / "tests" / "data" / "brain_R2_reps10.h5"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, scan, EXAMPLE / "mean.xml"],
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\n"


def test_the_page_shows_the_example_as_it_is() -> None:
    assert (EXAMPLE / "src" / "mean_over_repetitions" / "__init__.py").read_text() in PAGE
    project = (EXAMPLE / "pyproject.toml").read_text()
    assert project[project.index("# The name") :] in PAGE
    config = "".join((EXAMPLE / "mean.xml").read_text().split())
    fragment = PAGE.partition("```xml\n")[2].partition("```")[0]
    assert "".join(fragment.split()) in config
