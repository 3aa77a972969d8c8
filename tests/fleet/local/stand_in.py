"""Stands in for a node process: `python stand_in.py FOLDER NAME`.

It puts itself on record, answers its admin server, and behaves as its settings say.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from elastron.fleet.local.folder import StateFolder


def main(folder: StateFolder, name: str) -> None:
    order = folder.order(name)
    if order is None:
        return
    how = order.settings.get("how", "well")
    if how == "never begins":
        os._exit(3)
    record = folder.sign_in(name, order.role)
    if folder.order(name) is None:
        folder.forget(name)
        return
    if how == "crashes":
        os._exit(3)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    busy = folder.path / f"{name}.busy"  # a test's: a scan runs

    class Admin(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sessions = [{}] if busy.exists() else []
            body = json.dumps({"sessions": sessions}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Admin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    print(f"{name} serves", file=sys.stderr, flush=True)
    folder.write_record(replace(record, address=address, admin=address))
    while not ended.wait(0.02) or busy.exists():
        if not folder.path.exists():
            os._exit(0)  # the test is over
    folder.sign_off(name)


if __name__ == "__main__":
    main(StateFolder(Path(sys.argv[1])), sys.argv[2])
