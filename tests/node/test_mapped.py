from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from elastron.node.mapped import mapped_pages

#: Pages of a file that is mapped, the one that work looks at, and the kernel's largest pages.
_PAGES, _SEEN, _HUGE = 4096, 300, 512

_HEAD = f"""if True:
    import ctypes, mmap, sys
    from elastron.node.mapped import map_pages, mapped_pages, pages_of

    with open(sys.argv[1], "rb") as file:
        area = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)

    def work():
        return area[{_SEEN} * mmap.PAGESIZE]

    def inside(pages):
        found = set()
        for each in pages:
            first = each.address // mmap.PAGESIZE
            found |= set(range(first, first + each.length // mmap.PAGESIZE))
        return {{number - start for number in found if 0 <= number - start < {_PAGES}}}

    for line in open("/proc/self/maps"):
        if sys.argv[1] in line:
            start = int(line.split("-")[0], 16) // mmap.PAGESIZE
"""


@pytest.fixture(autouse=True)
def _needs_the_kernels_word() -> None:
    if not mapped_pages():
        pytest.skip("this kernel does not tell which pages are mapped")


def _said(tmp_path: Path, code: str) -> list[str]:
    """What `code` prints in a process of its own, which has a file mapped and not looked at."""
    file = tmp_path / "file"
    file.write_bytes(bytes(_PAGES * 4096))
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + code, str(file)], check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_what_a_child_needed_is_mapped_here(tmp_path: Path) -> None:
    code = f"""
    wanted = pages_of(work)
    print(len(inside(mapped_pages())), {_SEEN} in inside(wanted))
    print(max(inside(wanted)) < 2 * {_HUGE})
    map_pages(wanted)
    print(inside(wanted) <= inside(mapped_pages()))
    """
    assert _said(tmp_path, code) == ["0", "True", "True", "True"]


def test_a_child_that_fails_tells_of_no_pages(tmp_path: Path) -> None:
    code = """
    def fail():
        work()
        raise KeyboardInterrupt

    print(pages_of(fail))
    """
    assert _said(tmp_path, code) == ["[]"]


def test_addresses_of_nothing_do_no_harm(tmp_path: Path) -> None:
    code = """
    from elastron.node.mapped import Pages

    map_pages([Pages(mmap.PAGESIZE, 4 * mmap.PAGESIZE), Pages(start * mmap.PAGESIZE, 1 << 20)])
    print(len(inside(mapped_pages())) >= 256)
    """
    assert _said(tmp_path, code) == ["True"]
