"""A small backend that speaks both spans APIs and OTLP, and remembers what it was given."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Backend:
    """Listens on a free port of this machine until it is closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.arrived = threading.Condition(self.lock)
        self.sgp: list[dict[str, Any]] = []
        self.agentex: list[dict[str, Any]] = []
        # OTLP requests: JSON, or the bytes of protobuf.
        self.otlp: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.requests = 0
        # The status of every answer; 200 keeps what came.
        self.status = 200
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                text = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, body = backend._take(self.command, self.path, dict(self.headers), text)
                out = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_PUT = do_POST = do_PATCH = do_GET = answer

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _take(self, method: str, path: str, headers: dict[str, str], text: bytes) -> tuple[int, Any]:
        with self.lock:
            self.requests += 1
            self.arrived.notify_all()
            if self.status != 200:
                return self.status, {"message": "not now"}
            headers = {name.lower(): value for name, value in headers.items()}
            self.headers.append(headers)
            if path.startswith("/v1/traces"):
                if headers.get("content-encoding") == "gzip":
                    text = gzip.decompress(text)
                self.otlp.append(json.loads(text) if "json" in headers["content-type"] else text)
                return 200, {}
            body = json.loads(text) if text else None
            answer: Any = body
            if path.startswith("/v5/spans/batch"):
                self.sgp.extend(body["items"])
                answer = {"items": body["items"]}
            elif path.startswith("/spans/batch"):
                return 404, {"message": "no batches here"}
            elif path.startswith("/spans") and method == "POST":
                self.agentex.append(body)
            elif path.startswith("/spans") and method == "PATCH":
                self.agentex.append({"id": path.rsplit("/", 1)[1], **body})
            return 200, answer

    def ids(self) -> set[str]:
        """The ids that SGP was given."""
        with self.lock:
            return {item["id"] for item in self.sgp}

    def wait_for(self, condition: Any, timeout: float = 120.0) -> bool:
        """Waits until a condition of what arrived holds."""
        with self.lock:
            return self.arrived.wait_for(lambda: condition(self), timeout)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
