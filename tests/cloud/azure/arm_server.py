"""Azure Resource Manager on this machine: by HTTPS, or within the process for speed."""

from __future__ import annotations

import contextlib
import datetime
import io
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
import requests.adapters
import urllib3
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import HttpTransport
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cloud.azure.arm_door import Answer, CutError, Door

BODY_MAX = 4 << 20


def _bytes(answer: Answer) -> bytes:
    return b"" if answer.body is None else json.dumps(answer.body).encode()


class Wire(requests.adapters.HTTPAdapter):
    """Carries requests to the stand-in within this process."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door = door

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        body = request.body or b""
        headers = {name.lower(): value for name, value in request.headers.items()}
        data = body.encode() if isinstance(body, str) else bytes(body)
        try:
            answer = self.door.answer(request.method or "", request.url or "", headers, data)
        except CutError as error:
            # Sent, and no answer came.
            raise requests.exceptions.ConnectionError(
                urllib3.exceptions.ProtocolError("Connection aborted.", error)
            ) from error
        content = _bytes(answer)
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(content),
            status=answer.status,
            headers={"Content-Type": "application/json", **answer.headers},
            preload_content=False,
        )
        return self.build_response(request, raw)


def wired(door: Door) -> requests.Session:
    """A session whose every request goes to the stand-in."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Wire(door))
    return session


class _Response:
    """What Azure's pipeline needs of an answer."""

    def __init__(self, request: Any, answer: Answer) -> None:
        self.request = request
        self.status_code = answer.status
        self.headers = answer.headers
        self._content = _bytes(answer)

    def read(self) -> bytes:
        return self._content


class Direct(HttpTransport[Any, Any]):
    """Carries requests to the stand-in within this process, past requests' own work."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def send(self, request: Any, **more: Any) -> Any:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            answer = self.door.answer(request.method, request.url, headers, request.content or b"")
        except CutError as error:
            raise ServiceResponseError("Connection aborted.") from error
        return _Response(request, answer)

    def open(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True
    wbufsize = -1
    door: Door

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        assert length <= BODY_MAX
        body = self.rfile.read(length)
        url = f"https://{self.headers['Host']}{self.path}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            answer = self.door.answer(self.command, url, headers, body)
        except CutError:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(2)
            return
        content = b"" if self.command == "HEAD" else _bytes(answer)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST = do_HEAD = _do  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests die on purpose."""


@contextlib.contextmanager
def serving(door: Door, certificate: Path) -> Iterator[str]:
    """The stand-in's URL while it serves HTTPS.

    Args:
        door: answers.
        certificate: from `make_certificate`; clients trust it.
    """
    handler = type("Handler", (_Handler,), {"door": door})
    server = _Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # The handshake belongs to the connection's own thread, not to the one that accepts.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def make_certificate(path: Path) -> Path:
    """A certificate of 127.0.0.1 and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Azure stand-in")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
