"""The environment variables of agentex-sdk's tracing, under the drop-in."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from backend import Backend

pytest.importorskip("agentex.lib.core.tracing.trace")

import endspan.agentex  # noqa: E402

tracing = importlib.import_module("agentex.lib.core.tracing")
manager = importlib.import_module("agentex.lib.core.tracing.tracing_processor_manager")
span_queue = importlib.import_module("agentex.lib.core.tracing.span_queue")
configs = importlib.import_module("agentex.lib.types.tracing")


class Agent:
    """A program that traces as agentex-sdk's do; everything else comes from the environment."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def run(self, spans: int, agentex: bool = False) -> None:
        """Makes spans. Processors are registered here, when the environment is what it is going to be."""
        config = configs.SGPTracingProcessorConfig(
            sgp_api_key="key", sgp_account_id="account", sgp_base_url=self.backend.url
        )
        manager.add_tracing_processor_config(configs.AgentexTracingProcessorConfig() if agentex else config)

        async def main() -> None:
            trace = tracing.AsyncTracer(None).trace("t")
            for number in range(spans):
                async with trace.span(f"s{number}", input={"n": number}) as span:
                    span.output = {"n": number}

        asyncio.run(main())

    def flush(self) -> Any:
        (tracer,) = endspan.agentex.tracers()
        return tracer.flush(120)

    @property
    def dropped(self) -> int:
        return int(span_queue.get_default_span_queue().dropped_spans)


@pytest.fixture
def agent(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    monkeypatch.setenv("AGENTEX_BASE_URL", backend.url)
    monkeypatch.setattr(span_queue, "_default_span_queue", None)
    endspan.agentex.install()
    yield Agent(backend)
    backend.status = 200
    endspan.agentex.uninstall(5)
    registry = manager.GLOBAL_TRACING_PROCESSOR_MANAGER
    registry.sync_processors.clear()
    registry.async_processors.clear()


def test_batch_size_and_linger(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_BATCH_SIZE", "4")
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_LINGER_MS", "600000")
    agent.run(10)
    # Two requests are full; the third waits for company.
    assert agent.backend.wait_for(lambda backend: len(backend.sgp) >= 8)
    assert agent.backend.requests == 2 and len(agent.backend.sgp) == 8
    assert agent.flush().delivered == 10 and agent.backend.requests == 3


def test_no_linger(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_LINGER_MS", "0")
    agent.run(1)
    assert agent.backend.wait_for(lambda backend: len(backend.sgp) == 1)


def test_max_size(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_MAX_SIZE", "10")
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_LINGER_MS", "600000")
    agent.backend.status = 503
    agent.run(200)
    agent.backend.status = 200
    report = agent.flush()
    assert report.delivered + report.dropped == 200 and 10 <= report.delivered < 200
    assert agent.dropped == report.dropped


def test_max_retries(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_MAX_RETRIES", "1")
    agent.backend.status = 503
    agent.run(3)
    report = agent.flush()
    # One attempt each, and no retry.
    assert (report.delivered, report.dropped, agent.dropped) == (0, 3, 3)
    assert 1 <= agent.backend.requests <= 3


@pytest.mark.parametrize(("value", "writes"), [("0", 2), (" No ", 2), ("1", 1), ("", 1)])
def test_skip_span_start(agent: Agent, monkeypatch: pytest.MonkeyPatch, value: str, writes: int) -> None:
    monkeypatch.setenv("AGENTEX_TRACING_SKIP_SPAN_START", value)
    agent.run(1)
    agent.flush()
    ended = [bool(item.get("end_timestamp")) for item in agent.backend.sgp]
    # A start may be superseded by its end, where both wait for the same request.
    assert ended[-1] and len(ended) <= writes
    assert sum(account.accepted for account in agent.flush().accounts) == writes


@pytest.mark.parametrize(("value", "writes"), [("off", 2), ("yes", 1)])
def test_skip_agentex_span_start(agent: Agent, monkeypatch: pytest.MonkeyPatch, value: str, writes: int) -> None:
    monkeypatch.setenv("AGENTEX_TRACING_SKIP_AGENTEX_SPAN_START", value)
    agent.run(1, agentex=True)
    assert sum(account.accepted for account in agent.flush().accounts) == writes
    assert agent.backend.agentex[-1]["end_time"]


def test_metrics_can_be_switched_off(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.metrics")
    from endspan import metrics

    for value, installed in (("0", False), ("1", True)):
        monkeypatch.setenv("AGENTEX_TRACING_METRICS", value)
        endspan.agentex.install()
        assert metrics.installed() is installed
        endspan.agentex.uninstall(5)
        assert not metrics.installed()
