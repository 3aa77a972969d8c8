"""Where the charts are: in the installed package, or in the source tree beside it."""

from __future__ import annotations

from pathlib import Path

from elastron.errors import ConfigError

#: The fleet's.
FLEET = "gadgetron"
_PACKAGE = Path(__file__).parents[1]
#: A wheel carries the charts; a source tree has them beside `src`.
_PLACES = (_PACKAGE / "charts", _PACKAGE.parents[1] / "helm")


def charts() -> dict[str, Path]:
    """The charts that come with this package, by name."""
    found: dict[str, Path] = {}
    for place in _PLACES:
        for each in sorted(place.glob("*/Chart.yaml")):
            found.setdefault(each.parent.name, each.parent)
    return found


def find_chart(named: str) -> Path | str:
    """A chart by the name of one of ours, by its path, or by a reference that helm knows.

    Raises:
        ConfigError: it is a path at which there is no chart, or ours are not there.
    """
    ours = charts()
    if named in ours:
        return ours[named]
    path = Path(named)
    if (path / "Chart.yaml").is_file() or path.is_file():
        return path
    if "://" in named:
        return named
    known = ", ".join(ours) or "none: they are missing from this installation"
    raise ConfigError(
        f"{named} is no chart: neither a folder or archive, nor one of ours ({known})."
    )
