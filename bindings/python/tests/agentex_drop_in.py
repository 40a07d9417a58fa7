"""The drop-in for agentex-sdk, installed for a test, and processors of a program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from backend import Backend

from agentex.lib.core.tracing import tracing_processor_manager  # noqa: E402
from agentex.lib.core.tracing import span_queue as span_queue_module  # noqa: E402
from agentex.lib.core.tracing.processors.tracing_processor_interface import (  # noqa: E402
    AsyncTracingProcessor,
    SyncTracingProcessor,
)
from agentex.lib.types.tracing import AgentexTracingProcessorConfig, SGPTracingProcessorConfig  # noqa: E402
from agentex.types.span import Span  # noqa: E402

import endspan.agentex  # noqa: E402

MANAGER = tracing_processor_manager.GLOBAL_TRACING_PROCESSOR_MANAGER


def sgp_config(backend: Backend) -> SGPTracingProcessorConfig:
    return SGPTracingProcessorConfig(sgp_api_key="key", sgp_account_id="account", sgp_base_url=backend.url)


@pytest.fixture(autouse=True)
def dropped_in(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AGENTEX_BASE_URL", backend.url)
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_LINGER_MS", "1")
    monkeypatch.setattr(span_queue_module, "_default_span_queue", None)
    endspan.agentex.install()
    yield
    endspan.agentex.uninstall(5)
    MANAGER.sync_processors.clear()
    MANAGER.async_processors.clear()


def register(backend: Backend, agentex: bool = False) -> None:
    configs: list[Any] = [sgp_config(backend)]
    if agentex:
        configs.append(AgentexTracingProcessorConfig())
    for config in configs:
        tracing_processor_manager.add_tracing_processor_config(config)


def flush() -> None:
    for tracer in endspan.agentex.tracers():
        report = tracer.flush(120)
        assert report.pending == 0 and report.dropped == 0, str(report)


class Recorder(AsyncTracingProcessor):
    """A processor of the program."""

    def __init__(self, config: Any = None) -> None:
        self.events: list[tuple[str, Span]] = []
        self.loops: set[Any] = set()
        self.seen = threading.Event()

    async def on_span_start(self, span: Span) -> None:
        self.events.append(("start", span))
        self.loops.add(asyncio.get_running_loop())

    async def on_span_end(self, span: Span) -> None:
        self.events.append(("end", span))
        self.seen.set()

    async def shutdown(self) -> None:
        pass


class SyncRecorder(SyncTracingProcessor):
    def __init__(self, config: Any = None) -> None:
        self.events: list[tuple[str, Span]] = []

    def on_span_start(self, span: Span) -> None:
        self.events.append(("start", span))

    def on_span_end(self, span: Span) -> None:
        self.events.append(("end", span))

    def shutdown(self) -> None:
        pass
