"""`elastron check` against a real server, and against ones that are not right."""

from __future__ import annotations

import json
from dataclasses import replace

from elastron.cli.checking import CONFIGS, DIFFERENCE_MAX, check_server
from elastron.client import Client


def test_a_server_that_is_right(run, server):
    found = json.loads(run("check", server.address, "--json").stdout)
    assert [each["config"] for each in found] == list(CONFIGS)
    assert all(each["images"] == 1 and each["difference"] <= 1e-6 for each in found)
    assert "✓" in run("check", server.address, "-c", "default.xml", "--scans", "2").stdout


def test_a_config_it_does_not_have(run, server):
    done = run("check", server.address, "-c", "nosuch.xml", code=1)
    assert "✗" in done.stdout
    assert "nosuch.xml" in done.stderr


def test_nobody_there_is_told_once(run):
    done = run("check", "127.0.0.1:1", "--connect-timeout", "0", code=1)
    assert done.stderr.count("127.0.0.1:1") == 1


def test_wrong_images_are_found(server, monkeypatch, capsys):
    host, _, port = server.address.rpartition(":")
    send = Client.send

    def brighter(self, *args, **kwargs):
        result = send(self, *args, **kwargs)
        factor = 1 + 2 * DIFFERENCE_MAX
        result.images = [replace(image, data=image.data * factor) for image in result.images]
        return result

    monkeypatch.setattr(Client, "send", brighter)
    assert not check_server(Client(host, int(port)), ["default.xml"], scans=1)
    assert "differ by 4.0%" in capsys.readouterr().err


def test_missing_images_are_found(server, monkeypatch, capsys):
    host, _, port = server.address.rpartition(":")
    send = Client.send

    def fewer(self, *args, **kwargs):
        result = send(self, *args, **kwargs)
        result.images.clear()
        return result

    monkeypatch.setattr(Client, "send", fewer)
    assert not check_server(Client(host, int(port)), ["default.xml"], scans=1)
    assert "0 images came, 1 were expected" in capsys.readouterr().err
