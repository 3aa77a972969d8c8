"""How a process of a local fleet is started."""

from __future__ import annotations

import sys

#: Followed by the state folder, and the name unless it is the nursery.
CHILD = (sys.executable, "-m", "elastron.cli.child")
