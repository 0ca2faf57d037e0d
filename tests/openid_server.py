"""An OpenID provider on loopback that answers as the specification says, unless a test makes it lie."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "connectwyze at example.org", "a client secret: with + and /"


class OpenIDServer:
    """Signs in `user`; `change_claims`, `sign` and `documents` make it answer wrongly.

    Attributes:
        user: The claims of the user who is signed in.
        keys: The keys of the provider; the last one signs.
        documents: Other answers, by path.
        requests: The paths that were requested.
    """

    def __init__(self) -> None:
        self.user: dict[str, Any] = {}
        self.keys = [RSAKey.generate_key(2048, {"kid": "1"})]
        self.documents: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.change_claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.sign: Callable[[dict[str, Any]], str] = self.sign_with_newest_key
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self.host = self.issuer.removeprefix("http://")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def rotate(self) -> None:
        """Sign with a new key, and no longer publish the others."""
        self.keys = [RSAKey.generate_key(2048, {"kid": str(len(self.keys) + 1)})]

    def sign_with_newest_key(self, claims: dict[str, Any]) -> str:
        key = self.keys[-1]
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def authorize(self, url: str) -> str:
        """Answer an authorization request as a browser with a signed-in user gets it. Return the callback URL."""
        address = urlsplit(url)
        # Without httpx, which loads the certificates of all authorities for each client.
        with closing(HTTPConnection(address.netloc, timeout=10)) as browser:
            browser.request("GET", f"{address.path}?{address.query}")
            location = browser.getresponse().headers["Location"]
        assert location, url
        return location

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }

    def _redirect(self, query: dict[str, str]) -> str:
        code = secrets.token_urlsafe()
        self._codes[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.issuer}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def _issue(self, authorization: str, form: dict[str, str]) -> dict[str, Any]:
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self._codes.pop(form["code"])
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        if (
            authorization != f"Basic {expected}"
            or form["redirect_uri"] != asked["redirect_uri"]
            or (asked["code_challenge_method"], asked["code_challenge"]) != ("S256", challenge)
        ):
            return {"error": "invalid_grant"}
        now = int(time.time())
        standard = {"iss": self.issuer, "aud": asked["client_id"], "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        token = self.sign(self.change_claims(standard | self.user))
        return {"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": token}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                server.requests.append(path)
                if path == "/authorize":
                    query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                    self.send_response(302)
                    self.send_header("Location", server._redirect(query))
                    self.end_headers()
                elif path == "/jwks":
                    self._send(path, KeySet(server.keys).as_dict(private=False))
                else:
                    self._send(path, server._configuration())

            def do_POST(self) -> None:
                server.requests.append(self.path)
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                answer = server._issue(self.headers.get("Authorization", ""), form)
                self._send(self.path, answer, 400 if "error" in answer else 200)

            def _send(self, path: str, document: Any, status: int = 200) -> None:
                body = server.documents.get(path, json.dumps(document).encode())
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        return Handler
