"""Starts one endspan server for the whole run and reads back what it holds."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import threading
import urllib.request
from typing import Any

import pytest

START_TIMEOUT_S = 30


class Server:
    """A running ``endspan serve``."""

    def __init__(self, url: str, grpc: str) -> None:
        self.url = url
        self.grpc = grpc

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def span(self, trace_id: str, span_id: str) -> dict[str, Any]:
        """Returns a span with its payloads."""
        return self.get(f"/api/spans/{trace_id}/{span_id}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory):
    data = tmp_path_factory.mktemp("endspan-data")
    log = (tmp_path_factory.getbasetemp() / "endspan.log").open("wb")
    listen = ["--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--data", str(data)]
    process = subprocess.Popen(
        [os.environ["ENDSPAN_BIN"], "serve", *listen], stdout=subprocess.PIPE, stderr=log, text=True
    )
    first_line: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: first_line.put(process.stdout.readline()), daemon=True).start()
    try:
        line = first_line.get(timeout=START_TIMEOUT_S)
        match = re.search(r"(http://[0-9.]+:[0-9]+) and ([0-9.]+:[0-9]+) \(OTLP over gRPC\)", line)
        assert match, f"the first line on stdout names no addresses: {line!r}"
        yield Server(match.group(1), match.group(2))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=START_TIMEOUT_S)
        log.close()
        assert code == 0, f"the server ended with {code}; its log is {log.name}"
