"""Slack, played by a real HTTP server on loopback that the SDK is pointed at."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "xoxb-a-bot-token-that-nobody-may-see"
CHANNELS = [{"id": f"C{number}", "name": name} for number, name in enumerate(("shop", "alerts", "random"))]


class SlackServer:
    """`errors` are Slack's words for why not, by method, one for each call; `asked` tells what was asked."""

    def __init__(self) -> None:
        self.reset()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                is_json = "json" in self.headers.get("Content-Type", "")
                given: dict[str, Any] = json.loads(body or "{}") if is_json else dict(parse_qsl(body))
                method = self.path.removeprefix("/api/")
                fake.asked.append((method, given | {"authorization": self.headers.get("Authorization")}))
                answer = fake.answer(method, given, self.headers.get("Authorization", ""))
                data = json.dumps(answer).encode()
                self.send_response(fake.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                """Redirect as if the user chose a team."""
                asked = dict(parse_qsl(urlsplit(self.path).query))
                self.send_response(303)
                self.send_header("Location", f"{asked['redirect_uri']}?code=good-code&state={asked['state']}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Forget requests and errors."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, list[str]] = {}
        self.status = 200

    def posts(self) -> list[dict[str, Any]]:
        """The messages that were posted."""
        return [given for method, given in self.asked if method == "chat.postMessage"]

    def answer(self, method: str, given: dict[str, Any], authorization: str) -> dict[str, Any]:
        """What Slack says."""
        if self.errors.get(method):
            return {"ok": False, "error": self.errors[method].pop(0)}
        if method == "oauth.v2.access":
            if given.get("code") != "good-code":
                return {"ok": False, "error": "invalid_code"}
            return {"ok": True, "access_token": TOKEN, "team": {"id": "T1", "name": "Harbour Goods"}}
        if authorization != f"Bearer {TOKEN}":
            return {"ok": False, "error": "invalid_auth"}
        if method == "conversations.list":
            first = not given.get("cursor")
            page = CHANNELS[:2] if first else CHANNELS[2:]
            return {"ok": True, "channels": page, "response_metadata": {"next_cursor": "more" if first else ""}}
        return {"ok": True}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
