"""Loopback servers for the storage plugins: moto's S3, an emulator of Google Cloud Storage, and fixed responses.

The fixed responses cover errors that the emulators never return.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import botocore.loaders
import botocore.session
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator.exceptions import Conflict, NotFound
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
from moto.server import ThreadedMotoServer

BUCKET = "conformance-bucket"
# The attributes of an object that Google Cloud Storage sends as headers.
GCS_HEADERS = {"cacheControl": "Cache-Control", "contentDisposition": "Content-Disposition"}

# Without this, each botocore session reads the same 3 MB of JSON: 0.2 CPU-seconds for each bucket that a test opens.
botocore.session.create_loader = cache(botocore.loaders.create_loader)
# Each read of an RSA key tests its primes again, and the plugin and its SDK read the key of each bucket.
serialization.load_pem_private_key = cache(serialization.load_pem_private_key)


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's S3 server with a bucket. Yields its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x" * 16, aws_secret_access_key="y" * 16
    )
    client.create_bucket(Bucket=BUCKET)
    yield url
    server.stop()


class GcsStorage(Storage):  # type: ignore[misc]
    """The emulator's storage, extended by the precondition that the plugin uses."""

    only_if_absent = False

    def _write_config_to_file(self) -> None:
        """Do nothing: the emulator would save all objects after each write."""

    def create_file(self, bucket_name: str, file_name: str, *rest: Any) -> Any:
        if self.only_if_absent and self.get_file_obj_or_none(bucket_name, file_name) is not None:
            raise Conflict("conditionNotMet")
        return super().create_file(bucket_name, file_name, *rest)

    def get_file_obj_or_none(self, bucket_name: str, file_name: str) -> Any:
        try:
            return self.get_file_obj(bucket_name, file_name)
        except NotFound:
            return None


class GcsHandler(RequestHandler):  # type: ignore[misc]
    """The emulator's handler; a failed precondition is HTTP 412, as in Google Cloud Storage."""

    # Send each response in one packet: with several, each would wait for the acknowledgement of the previous one.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # noqa: N802
        self.storage.only_if_absent = "ifGenerationMatch=0" in self.path
        super().do_POST()

    def do_PUT(self) -> None:  # noqa: N802
        """Keep the headers of a presigned upload, as the XML API does."""
        super().do_PUT()
        if found := self._find_object():
            found |= {name: self.headers[header] for name, header in GCS_HEADERS.items() if header in self.headers}
            prefix = "x-goog-meta-"
            named = {name.lower(): value for name, value in self.headers.items()}
            found["metadata"] = {
                name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
            }

    def end_headers(self) -> None:
        found = self._find_object() if self.command == "GET" else None
        for name, header in GCS_HEADERS.items():
            if found and found.get(name):
                self.send_header(header, found[name])
        super().end_headers()

    def _find_object(self) -> Any:
        """Return the object that the path of the XML API names, if there is one."""
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        return self.storage.get_file_obj_or_none(bucket, key) if bucket == BUCKET else None

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(412 if code == 400 and self.storage.only_if_absent else code, message)


class QueueingServer(HTTPServer):
    """A server with a longer queue, since the emulator handles one request at a time."""

    request_queue_size = 256


@contextmanager
def gcs_emulator() -> Iterator[str]:
    """Run gcp-storage-emulator with a bucket. Yields its URL."""
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = QueueingServer(("127.0.0.1", 0), partial(GcsHandler, GcsStorage(use_memory_fs=True)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    requests.post(f"{url}/storage/v1/b?project=p", json={"name": BUCKET}, timeout=10).raise_for_status()
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def fixed_response_server(status: int, body: str, content_type: str = "application/xml") -> Iterator[str]:
    """Run a server that returns one response to every request. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _respond  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def s3_error(code: str) -> str:
    """Return an error response of S3."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'


def google_error(status: int, message: str) -> str:
    """Return an error response of Google Cloud Storage."""
    return json.dumps({"error": {"code": status, "message": message, "errors": []}})


@cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def service_account(**changed: object) -> str:
    """Return the key file of a service account."""
    info = {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "0123456789abcdef",
        "private_key": private_key(),
        "client_email": "images@a-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
    return json.dumps({name: value for name, value in (info | changed).items() if value is not None})


def host_of(url: str) -> str:
    """Return `host:port` of a URL."""
    return url.removeprefix("http://")
