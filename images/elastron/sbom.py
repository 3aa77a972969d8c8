"""Write what an image holds as a CycloneDX 1.5 bill of materials.

usage: sbom.py DPKG-STATUS: this environment's Python packages, and Debian's of that file.
"""

import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

Component = dict[str, object]


def python_packages() -> Iterator[Component]:
    """What is installed beside this interpreter."""
    for each in distributions():
        name, version = each.metadata["Name"], each.version
        entry: Component = {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
        }
        if licence := each.metadata.get("License-Expression"):
            entry["licenses"] = [{"expression": licence}]
        yield entry


def debian_packages(status: Path) -> Iterator[Component]:
    """What dpkg's status file says is installed; nothing where there is no such file."""
    if not status.is_file():
        return
    system = platform.freedesktop_os_release().get("ID", "debian")
    for text in status.read_text("utf-8", "replace").split("\n\n"):
        lines = (line.partition(": ") for line in text.splitlines() if not line.startswith(" "))
        fields = {name: value for name, _, value in lines}
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            yield {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:deb/{system}/{name}@{version}?arch={fields['Architecture']}",
            }


components = [*python_packages(), *debian_packages(Path(sys.argv[1]))]
json.dump(
    {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": sorted(components, key=lambda each: str(each["purl"])),
    },
    sys.stdout,
    indent=1,
)
