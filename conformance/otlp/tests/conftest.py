"""Starts endspan servers for the whole run, one without keys and one with, and reads back what they hold."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

START_TIMEOUT_S = 30


class Server:
    """A running ``endspan serve``."""

    def __init__(self, url: str, grpc: str, secret: str | None = None) -> None:
        self.url = url
        self.grpc = grpc
        self.secret = secret

    def get(self, path: str) -> Any:
        headers = {"x-api-key": self.secret} if self.secret else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def span(self, trace_id: str, span_id: str) -> dict[str, Any]:
        """Returns a span with its payloads."""
        return self.get(f"/api/spans/{trace_id}/{span_id}")


def endspan(*arguments: str) -> str:
    """Runs the binary and returns what it prints."""
    return subprocess.run([os.environ["ENDSPAN_BIN"], *arguments], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def serving(base: pathlib.Path, secret: str | None = None) -> Iterator[Server]:
    """Starts a server whose data and log are in a directory, and stops it."""
    log = (base / "endspan.log").open("wb")
    listen = ["--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--data", str(base / "data")]
    process = subprocess.Popen(
        [os.environ["ENDSPAN_BIN"], "serve", *listen], stdout=subprocess.PIPE, stderr=log, text=True
    )
    first_line: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: first_line.put(process.stdout.readline()), daemon=True).start()
    try:
        line = first_line.get(timeout=START_TIMEOUT_S)
        match = re.search(r"(http://[0-9.]+:[0-9]+) and ([0-9.]+:[0-9]+) \(OTLP over gRPC\)", line)
        assert match, f"the first line on stdout names no addresses: {line!r}"
        yield Server(match.group(1), match.group(2), secret)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=START_TIMEOUT_S)
        log.close()
        assert code == 0, f"the server ended with {code}; its log is {log.name}"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("endspan")) as server:
        yield server


@pytest.fixture(scope="session")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for keys; its secret writes and reads the account ``team``."""
    base = tmp_path_factory.mktemp("endspan-keys")
    (base / "data").mkdir()
    made = endspan("keys", "create", "--role", "ingest,read", "--account", "team", "--data", str(base / "data"))
    with serving(base, made.strip()) as server:
        yield server
