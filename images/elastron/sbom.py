"""Write what this environment holds as a CycloneDX 1.5 bill of materials."""

import json
import sys
from importlib.metadata import distributions


def component(name: str, version: str, licence: str | None) -> dict[str, object]:
    """One package."""
    entry: dict[str, object] = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
    }
    if licence:
        entry["licenses"] = [{"license": {"name": licence}}]
    return entry


found = sorted(
    (
        (each.metadata["Name"], each.version, each.metadata.get("License-Expression"))
        for each in distributions()
    ),
    key=lambda each: each[0].lower(),
)
json.dump(
    {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [component(*each) for each in found],
    },
    sys.stdout,
    indent=1,
)
