"""docs/reference/configs.md names every stock config, gadget and property, as the code has them.

`python tests/pipeline/test_configs_page.py` writes the page's tables anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elastron.gadgets.registry import GADGETS, find_gadget
from elastron.pipeline import load_config, stock_config_names
from elastron.pipeline.load import _stock_folder
from elastron.pipeline.properties import IGNORED_PROPERTIES, describe_properties
from elastron.pipeline.slots import READERS, WRITERS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configs.md"


def stock_table() -> str:
    """Name and purpose (the comment it begins with) of each stock config."""
    rows = ["| Config | What it does |", "|---|---|"]
    for name in stock_config_names():
        xml = (_stock_folder() / name).read_text()
        comment = " ".join(xml.partition("<!--")[2].partition("-->")[0].split())
        rows.append(f"| `{name}` | {comment} |")
    return "\n".join(rows)


def message_table() -> str:
    """Readers and writers by message."""
    rows = ["| Message | Readers | Writers |", "|---|---|---|"]
    for message in sorted({*READERS.values(), *WRITERS.values()}):
        readers = ", ".join(f"`{name}`" for name, each in READERS.items() if each is message)
        writers = ", ".join(f"`{name}`" for name, each in WRITERS.items() if each is message)
        rows.append(f"| {message.value} {message.name} | {readers} | {writers} |")
    return "\n".join(rows)


def gadget_list() -> str:
    """Each gadget with its properties, their defaults and what is allowed."""
    lines = []
    for name in GADGETS:
        gadget = find_gadget(name)
        summary = re.split(r"\n\s*\n", gadget.__doc__ or "")[0]
        lines.append(f"### {name}\n\n{' '.join(summary.split())}\n")
        if properties := describe_properties(gadget):
            lines.append("| Property | Default | Allowed |\n|---|---|---|")
            lines += [
                f"| `{each.name}` | {each.default and f'`{each.default}`'} | {each.allowed} |"
                for each in properties
            ]
            lines.append("")
    return "\n".join(lines).rstrip()


SECTIONS = {"stock": stock_table, "messages": message_table, "gadgets": gadget_list}


def section(page: str, name: str) -> re.Match[str]:
    """The page's match: before, table, after."""
    pattern = f"(<!-- {name}: made by [^>]*-->\n)(.*?)(<!-- end of {name} -->)"
    found = re.search(pattern, page, re.DOTALL)
    assert found, name
    return found


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_is_as_the_code(name: str) -> None:
    assert section(PAGE.read_text(), name)[2].strip() == SECTIONS[name](), (
        f"run {Path(__file__).name}"
    )


def test_ignored_properties_are_named() -> None:
    page = PAGE.read_text()
    assert [name for name in IGNORED_PROPERTIES if f"`{name}`" not in page] == []


def test_every_gadget_of_a_stock_config_is_described() -> None:
    described = section(PAGE.read_text(), "gadgets")[2]
    for config in stock_config_names():
        for node in load_config(config).stream.nodes:
            for name in re.findall(r"GadgetNode\(classname='(\w+)'", repr(node)):
                assert f"### {name}\n" in described


def write() -> None:
    """Write the tables anew."""
    page = PAGE.read_text()
    for name, make in SECTIONS.items():
        found = section(page, name)
        page = f"{page[: found.start(2)]}\n{make()}\n\n{page[found.end(2) :]}"
    PAGE.write_text(page)


if __name__ == "__main__":
    write()
