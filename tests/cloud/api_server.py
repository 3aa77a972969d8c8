"""A Kubernetes API server that remembers, for the real helm and kubectl.

Discovery, lists, watches, server-side apply, merge patches, dry runs and access reviews are as in
the API conventions.
"""

from __future__ import annotations

import copy
import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.cloud.api_world import Object, Place, World

#: Tells a watch that what there was before is through.
_ENDED = "k8s.io/initial-events-end"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def log_message(self, *_: Any) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        self._route()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  - as the base class has it

    def _route(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        body = _decoded(raw)
        self.world.requests.append(f"{self.command} {self.path}")
        if self.world.broken:
            self._fail(503, "ServiceUnavailable", "out of order")
            return
        parts = [part for part in url.path.split("/") if part]
        if not self._discovery(parts):
            self._objects(parts, query, body)

    # --- discovery ------------------------------------------------------------------------------

    def _discovery(self, parts: list[str]) -> bool:
        kinds = self.world.kinds
        apis = sorted({api for api, *_ in kinds if "/" in api})
        if parts == ["version"]:
            minor = self.world.version.split(".")[1]
            self._say({"major": "1", "minor": minor, "gitVersion": self.world.version})
        elif parts == ["api"]:
            self._say({"kind": "APIVersions", "versions": ["v1"]})
        elif parts == ["apis"]:
            groups = [
                {
                    "name": api.split("/")[0],
                    "versions": [{"groupVersion": api, "version": api.split("/")[1]}],
                    "preferredVersion": {"groupVersion": api, "version": api.split("/")[1]},
                }
                for api in apis
            ]
            self._say({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        elif parts == ["api", "v1"] or (len(parts) == 3 and "/".join(parts[1:]) in apis):
            api = "/".join(parts[1:])
            verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
            listed = [
                {"name": resource, "kind": kind, "namespaced": namespaced, "verbs": verbs}
                | {"singularName": kind.lower()}
                for found, kind, resource, namespaced in kinds
                if found == api
            ]
            self._say({"kind": "APIResourceList", "groupVersion": api, "resources": listed})
        elif parts == ["openapi", "v2"]:
            self._send(b"", "application/octet-stream")  # a protobuf of no schemas
        elif parts == ["openapi", "v3"]:
            self._fail(404, "NotFound", "no schemas here")
        else:
            return False
        return True

    # --- objects --------------------------------------------------------------------------------

    def _objects(self, parts: list[str], query: dict[str, str], body: Any) -> None:
        api, rest = ("v1", parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        found = [each for each in self.world.kinds if each[0] == api and rest[:1] == [each[2]]]
        if not found:
            self._fail(404, "NotFound", "the server could not find the requested resource")
            return
        _, kind, resource, namespaced = found[0]
        name = rest[1] if len(rest) > 1 else ""
        absent = namespaced and ("namespaces", "", namespace) not in self.world.objects
        if absent and self.command == "POST":
            self._fail(404, "NotFound", f'namespaces "{namespace}" not found')
            return
        if kind == "SelfSubjectAccessReview":
            self._review(body)
        elif self.command == "GET" and not name:
            self._list(api, kind, resource, namespace, query)
        elif self.command == "GET":
            self._one((resource, namespace, name))
        elif self.command == "DELETE":
            gone = self.world.remove((resource, namespace, name))
            self._say(gone) if gone else self._absent(resource, name)
        else:
            place = (resource, namespace, name or body["metadata"]["name"])
            self._write((api, kind), place, query, body)

    def _review(self, body: Object) -> None:
        attributes = body["spec"]["resourceAttributes"]
        asked = f"{attributes['verb']} {attributes['resource']}"
        self._say(body | {"status": {"allowed": asked not in self.world.denied}}, 201)

    def _one(self, place: Place) -> None:
        if (each := self.world.objects.get(place)) is None:
            self._absent(place[0], place[2])
        else:
            self._say(each)

    def _list(
        self, api: str, kind: str, resource: str, namespace: str, query: dict[str, str]
    ) -> None:
        def fits(each: Object) -> bool:
            meta = each["metadata"]
            if each["kind"] != kind or (namespace and meta.get("namespace") != namespace):
                return False
            wanted = query.get("fieldSelector", "").partition("metadata.name=")[2]
            return _selected(meta.get("labels") or {}, query.get("labelSelector", "")) and (
                not wanted or wanted == meta["name"]
            )

        if query.get("watch") in ("1", "true"):
            self._watch(fits, query)
            return
        with self.world.changed:
            items = [each for each in self.world.objects.values() if fits(each)]
            version = str(self.world.counter)
            listed = {"kind": f"{kind}List", "apiVersion": api, "items": items}
            self._say(listed | {"metadata": {"resourceVersion": version}})

    def _watch(self, fits: Callable[[Object], bool], query: dict[str, str]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        world, seen = self.world, int(query.get("resourceVersion") or 0)
        if query.get("sendInitialEvents") == "true":
            with world.changed:
                seen = world.counter
                there = [("ADDED", each) for each in world.objects.values() if fits(each)]
            ended = {"resourceVersion": str(seen), "annotations": {_ENDED: "true"}}
            there.append(("BOOKMARK", {"metadata": ended}))
            for event, each in there:
                self.wfile.write((json.dumps({"type": event, "object": each}) + "\n").encode())
        while not world.broken:
            with world.changed:
                events = [found for found in world.log if found[0] > seen and fits(found[2])]
                if not events:
                    world.changed.wait(0.5)
                    continue
                lines = [json.dumps({"type": e, "object": o}) + "\n" for _, e, o in events]
            seen = events[-1][0]
            try:
                self.wfile.write("".join(lines).encode())
                self.wfile.flush()
            except OSError:
                return

    def _write(
        self, typed: tuple[str, str], place: Place, query: dict[str, str], body: Object
    ) -> None:
        (api, kind), (resource, namespace, name) = typed, place
        if name in self.world.refused:
            self._fail(
                403, "Forbidden", f"{resource} {name!r} is forbidden: {self.world.refused[name]}"
            )
            return
        old = self.world.objects.get(place)
        if self.command == "POST" and old is not None:
            self._fail(409, "AlreadyExists", f'{resource} "{name}" already exists')
            return
        new = copy.deepcopy(body)
        if self.command == "PATCH":
            applied = "apply" in self.headers.get("Content-Type", "")
            if old is None and not applied:
                self._absent(resource, name)
                return
            new = _merged(copy.deepcopy(old or {}), body)
        new |= {"apiVersion": api, "kind": kind}
        new.setdefault("metadata", {})["name"] = name
        if namespace:
            new["metadata"]["namespace"] = namespace
        if "dryRun" in query:
            self._say(new)
            return
        kept = self.world.put(new)
        self.world.react(self.world, kept)
        self._say(kept, 201 if old is None else 200)

    # --- answers --------------------------------------------------------------------------------

    def _absent(self, resource: str, name: str) -> None:
        self._fail(404, "NotFound", f'{resource} "{name}" not found')

    def _fail(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "metadata": {}}
        self._say(status | {"code": code, "reason": reason, "message": message}, code)

    def _say(self, body: Any, code: int = 200) -> None:
        self._send(json.dumps(body).encode(), "application/json", code)

    def _send(self, data: bytes, kind: str, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _decoded(raw: bytes) -> Any:
    """A request's body: JSON, YAML, or the protobuf in which helm keeps its Secrets."""
    if not raw.startswith(b"k8s\0"):
        return yaml.safe_load(raw) if raw else None
    unknown = _fields(raw[4:])
    secret = _fields(unknown[2][0])
    if b"Secret" not in unknown[1][0]:
        return None  # options of a deletion
    meta = _fields(secret[1][0])
    pairs = [_fields(each) for each in secret.get(2, [])]
    labels = [_fields(each) for each in meta.get(11, [])]
    return {
        "metadata": {
            "name": meta[1][0].decode(),
            "resourceVersion": meta.get(6, [b""])[0].decode(),
            "labels": {each[1][0].decode(): each[2][0].decode() for each in labels},
        },
        "data": {each[1][0].decode(): b64encode(each[2][0]).decode() for each in pairs},
        "type": secret.get(3, [b"Opaque"])[0].decode(),
    }


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """Fields of a protobuf message that have a length; numbers are passed over."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        size, at = _varint(message, at)
        if tag & 7 == 2:
            found.setdefault(tag >> 3, []).append(message[at : at + size])
            at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at


def _selected(labels: dict[str, str], selector: str) -> bool:
    """Equality selectors: `a=b,c=d`, `a!=b`, `a`."""
    for part in filter(None, selector.split(",")):
        if " in (" in part or part.endswith(")"):
            raise NotImplementedError(selector)
        if "!=" in part:
            key, _, value = part.partition("!=")
            if labels.get(key) == value:
                return False
            continue
        key, equals, value = part.replace("==", "=").partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _merged(old: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386); lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    result = old if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


@contextmanager
def api_server(folder: Path, world: World) -> Iterator[Path]:
    """Serve a world; gives a kubeconfig with the context `stand-in`."""
    handler = type("Handler", (_Handler,), {"world": world})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stand-in",
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "stand-in", "context": {"cluster": "c", "user": "u", "namespace": "imaging"}}
        ],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
