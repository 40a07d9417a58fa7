"""Starts one endspan server for the whole run and hands out the real clients, pointed at it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import json
import os
import queue
import re
import signal
import subprocess
import threading
import urllib.request
import uuid

import pytest

# The Agentex SDK's environment loader wants these two; nothing listens there.
os.environ.setdefault("AGENT_NAME", "conformance-agent")
os.environ.setdefault("ACP_URL", "http://127.0.0.1:9")
os.environ.setdefault("AGENT_ID", "agent-7")
# LiteLLM comes with the SDK and would fetch a price list at import.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

ACCOUNT = "acct-conformance"
START_TIMEOUT_S = 30


def release(package: str) -> tuple[int, ...]:
    """Returns the installed release of a package as numbers, for features that older releases lack."""
    return tuple(int(part) for part in importlib.metadata.version(package).split(".")[:3])


def pytest_report_header() -> list[str]:
    packages = ("agentex-sdk", "scale-gp-beta")
    return ["clients: " + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)]


class Server:
    """A running `endspan serve` and the answers of its own read API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> object:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory):
    if url := os.environ.get("ENDSPAN_URL"):
        yield Server(url.rstrip("/"))
        return
    data = tmp_path_factory.mktemp("endspan-data")
    log = (tmp_path_factory.getbasetemp() / "endspan.log").open("wb")
    process = subprocess.Popen(
        [os.environ["ENDSPAN_BIN"], "serve", "--listen", "127.0.0.1:0", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    first_line: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: first_line.put(process.stdout.readline()), daemon=True).start()
    try:
        line = first_line.get(timeout=START_TIMEOUT_S)
        match = re.search(r"http://[0-9.]+:[0-9]+", line)
        assert match, f"the first line on stdout names no address: {line!r}"
        yield Server(match.group(0))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=START_TIMEOUT_S)
        log.close()
        assert code == 0, f"the server ended with {code}; its log is {log.name}"


@pytest.fixture(autouse=True)
def point_clients_at_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTEX_BASE_URL", server.url)


class Blocking:
    """A resource whose async calls are run to their end, so that one test serves both forms."""

    def __init__(self, resource: object, loop: asyncio.AbstractEventLoop) -> None:
        self._resource = resource
        self._loop = loop

    def __getattr__(self, name: str):
        method = getattr(self._resource, name)

        def call(*args, **kwargs):
            result = method(*args, **kwargs)
            return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

        return call


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(params=["sync", "async"])
def agentex_spans(request: pytest.FixtureRequest, server: Server, loop: asyncio.AbstractEventLoop):
    """The spans resource of the Agentex client, sync and async."""
    from agentex import Agentex, AsyncAgentex

    if request.param == "sync":
        with Agentex(base_url=server.url, max_retries=0) as client:
            yield Blocking(client.spans, loop)
    else:
        client = AsyncAgentex(base_url=server.url, max_retries=0)
        yield Blocking(client.spans, loop)
        loop.run_until_complete(client.close())


@pytest.fixture(params=["sync", "async"])
def sgp_spans(request: pytest.FixtureRequest, server: Server, loop: asyncio.AbstractEventLoop):
    """The spans resource of the SGP client, sync and async."""
    from scale_gp_beta import AsyncSGPClient, SGPClient

    settings = {"api_key": "key", "account_id": ACCOUNT, "base_url": server.url, "max_retries": 0}
    if request.param == "sync":
        with SGPClient(**settings) as client:
            yield Blocking(client.spans, loop)
    else:
        client = AsyncSGPClient(**settings)
        yield Blocking(client.spans, loop)
        loop.run_until_complete(client.close())


@pytest.fixture
def trace_id() -> str:
    return str(uuid.uuid4())
