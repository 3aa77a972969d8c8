from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CODE = """
import structlog, warnings
from elastron.service.logs import configure_logging
from elastron.service.logs import LogFormat
configure_logging(LogFormat("{format}"), "{level}")
log = structlog.get_logger().bind(session="ab")
log.debug("small")
log.info("Connection state: [CONFIG]")
warnings.warn("an odd thing", RuntimeWarning)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def lines(log_format: str, level: str) -> list[str]:
    code = CODE.format(format=log_format, level=level)
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert not done.stdout
    return done.stderr.splitlines()


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_json_has_one_line_an_event(log_format: str) -> None:
    events = [json.loads(line) for line in lines(log_format, "info")]
    said = ["Connection state: [CONFIG]", "Python warns", "broken"]
    assert [event["event"] for event in events] == said
    assert events[0]["session"] == "ab"
    assert events[0]["level"] == "info"
    assert events[0]["timestamp"].endswith("Z")
    assert (events[1]["kind"], events[1]["reason"]) == ("RuntimeWarning", "an odd thing")
    assert "ZeroDivisionError" in events[2]["exception"]


def test_console_is_for_people() -> None:
    text = "\n".join(lines("console", "debug"))
    assert "small" in text
    assert "Connection state: [CONFIG]" in text
    assert "\x1b" not in text  # no colours where nobody sees them


def test_level() -> None:
    assert [json.loads(line)["event"] for line in lines("json", "error")] == ["broken"]
