"""A kubectl of a cluster that is a folder: pods are files, each with the port where it listens.

`port-forward` relays to that port and ends when its pod's file is gone and somebody connects, as
the real one does; `get pod NAME --watch` tells when a file says that its pod leaves.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from pathlib import Path

FOLDER = Path(sys.argv[0]).parent


def pods() -> dict[str, dict]:
    found = {}
    for path in sorted(FOLDER.glob("*.pod")):
        with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
            found[path.stem] = json.loads(path.read_text())
    return found


def relay(one: socket.socket, other: socket.socket) -> None:
    try:
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def forward(name: str) -> None:
    if name not in pods():
        sys.exit(f'error: pods "{name}" not found')
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    print(f"Forwarding from 127.0.0.1:{port} -> 9002", flush=True)
    while True:
        here, _ = listener.accept()
        pod = pods().get(name)
        if pod is None:
            sys.exit("error: lost connection to pod")
        there = socket.create_connection(("127.0.0.1", pod["port"]))
        for pair in ((here, there), (there, here)):
            threading.Thread(target=relay, args=pair, daemon=True).start()


def watch(name: str) -> None:
    while True:
        pod = pods().get(name)
        if pod is None:
            sys.exit(f'Error from server (NotFound): pods "{name}" not found')
        if pod.get("leaving"):
            print("2026-01-01T00:00:00Z", flush=True)
        time.sleep(0.05)


def main() -> None:
    words = sys.argv[1:]
    if words[0] == "port-forward":
        forward(words[1].removeprefix("pod/"))
    elif words[:2] == ["get", "service"]:
        ports = [{"name": "scans", "port": 9002, "targetPort": "scans"}]
        print(json.dumps({"spec": {"selector": {"a": "b"}, "ports": ports}}) * (words[2] == "door"))
    elif words[:2] == ["get", "pods"]:
        items = []
        for name, pod in pods().items():
            leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if pod.get("leaving") else {}
            ready = {"type": "Ready", "status": "True" if pod.get("ready", True) else "False"}
            items.append({"metadata": {"name": name, **leaving}, "status": {"conditions": [ready]}})
        print(json.dumps({"items": items}))
    elif words[:2] == ["get", "pod"]:
        watch(words[2])


main()
