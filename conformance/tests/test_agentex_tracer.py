"""The tracers of the Agentex SDK with its Agentex and SGP processors, in every skip mode."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime

import pytest
from scripted_agent import run_async, run_sync
from agentex import Agentex, AsyncAgentex, NotFoundError
from agentex.lib.core.tracing import AsyncSpanQueue, AsyncTracer, Tracer, tracing_processor_manager
from agentex.lib.types.tracing import AgentexTracingProcessorConfig, SGPTracingProcessorConfig
from conftest import ACCOUNT, Server, release
from expect import assert_same

# Releases before 0.13 know neither the skip flags nor the recording of errors.
KNOWS_SKIP_FLAGS = release("agentex-sdk") >= (0, 13, 0)
RECORDS_ERRORS = release("agentex-sdk") >= (0, 20, 0)

SKIP_MODES = ["1", "0"] if KNOWS_SKIP_FLAGS else ["0"]
PROCESSORS = [("agentex",), ("sgp",), ("agentex", "sgp"), ("sgp", "agentex")]


@pytest.fixture(params=SKIP_MODES, ids=lambda flag: {"1": "end-only", "0": "start-and-end"}[flag])
def end_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("AGENTEX_TRACING_SKIP_AGENTEX_SPAN_START", request.param)
    monkeypatch.setenv("AGENTEX_TRACING_SKIP_SPAN_START", request.param)
    return request.param == "1"


@pytest.fixture(params=PROCESSORS, ids="+".join)
def processors(request: pytest.FixtureRequest, server: Server, end_only: bool):
    manager = tracing_processor_manager.GLOBAL_TRACING_PROCESSOR_MANAGER
    manager.sync_processors.clear()
    manager.async_processors.clear()
    configs = {
        "agentex": lambda: AgentexTracingProcessorConfig(),
        "sgp": lambda: SGPTracingProcessorConfig(sgp_api_key="key", sgp_account_id=ACCOUNT, sgp_base_url=server.url),
    }
    for name in request.param:
        tracing_processor_manager.add_tracing_processor_config(configs[name]())
    yield request.param
    manager.sync_processors.clear()
    manager.async_processors.clear()


TAGS = {"__source__": "agentex", "__acp_type__": "async", "__agent_name__": "conformance-agent", "__agent_id__": "agent-7"}
OF_SGP_ONLY = {"error", "error_type", "error_message", "error_category"}


def without_tags(data: dict | None) -> dict | None:
    """Returns data as the agent set it: one SDK release or another leaves the SGP tags in the Agentex row too."""
    if data is None:
        return None
    return {key: value for key, value in data.items() if key not in TAGS and key not in OF_SGP_ONLY} or None


def assert_stored_in_agentex(server: Server, trace_id: str, spans: list[dict]) -> None:
    with Agentex(base_url=server.url, max_retries=0) as client:
        stored = {span.id: span for span in client.spans.list(trace_id=trace_id, limit=1000)}
    assert set(stored) == {span["id"] for span in spans}
    for span in spans:
        actual = {field: getattr(stored[span["id"]], field) for field in span}
        assert_same(span | {"data": without_tags(span["data"])}, actual | {"data": without_tags(actual["data"])})


def assert_stored_in_sgp(server: Server, trace_id: str, spans: list[dict]) -> None:
    read = server.get(f"/api/traces/{trace_id}?payloads=true")
    stored = {span["id"]: span for span in read["spans"] if span["account"] == ACCOUNT}
    assert set(stored) == {span["id"] for span in spans}
    for span in spans:
        actual = stored[span["id"]]
        error = (span["data"] or {}).get("__error__")
        assert actual["name"] == span["name"]
        assert actual.get("parent_id") == span["parent_id"]
        assert datetime.fromisoformat(actual["start_time"]) == span["start_time"]
        assert datetime.fromisoformat(actual["end_time"]) == span["end_time"]
        assert_same(span["input"] or {}, actual["input"])
        assert_same(span["output"] or {}, actual["output"])
        assert actual["type"] == (span["data"] or {}).get("__span_type__", "STANDALONE")
        assert actual["status"] == ("ERROR" if error else "SUCCESS")
        metadata = actual["metadata"]
        assert {key: metadata.get(key) for key in TAGS} == TAGS
        assert_same(without_tags(span["data"]), without_tags(metadata))
        if error:
            assert (metadata["error"], metadata["error_type"]) == (True, error["type"])


def assert_stored(server: Server, processors: tuple[str, ...], trace_id: str, spans: list[dict]) -> None:
    if "agentex" in processors:
        assert_stored_in_agentex(server, trace_id, spans)
    if "sgp" in processors:
        assert_stored_in_sgp(server, trace_id, spans)


def test_async_tracer_delivers_every_span_equal(server, processors, trace_id):
    async def agent() -> list[dict]:
        queue = AsyncSpanQueue()
        async with AsyncAgentex(base_url=server.url) as client:
            trace = AsyncTracer(client).trace(trace_id, span_queue=queue)
            sessions = await asyncio.gather(*[run_async(trace, RECORDS_ERRORS) for _ in range(10)])
            await queue.shutdown()
        assert getattr(queue, "dropped_spans", 0) == 0
        return [span for session in sessions for span in session]

    spans = asyncio.run(agent())
    assert len(spans) == 40
    assert_stored(server, processors, trace_id, spans)


def test_sync_tracer_delivers_every_span_equal(server, processors, trace_id):
    with Agentex(base_url=server.url) as client:
        spans = run_sync(Tracer(client).trace(trace_id), RECORDS_ERRORS)
    for processor in tracing_processor_manager.get_sync_tracing_processors():
        processor.shutdown()
    assert_stored(server, processors, trace_id, spans)


@pytest.mark.parametrize("processors", [("agentex",)], indirect=True, ids="+".join)
def test_a_start_is_visible_only_in_start_mode(server, processors, end_only, trace_id):
    """One queue carries the START, another the END, so that each is known to be through."""

    async def agent() -> None:
        async with AsyncAgentex(base_url=server.url, max_retries=0) as client:
            starts, ends = AsyncSpanQueue(), AsyncSpanQueue()
            tracer = AsyncTracer(client)
            span = await tracer.trace(trace_id, span_queue=starts).start_span("long", input={"a": 1}, data={"d": 1})
            await starts.shutdown()
            if end_only:
                with pytest.raises(NotFoundError):
                    await client.spans.retrieve(span.id)
            else:
                running = await client.spans.retrieve(span.id)
                assert (running.end_time, running.input) == (None, {"a": 1})
            span.data = {"e": 2}
            await tracer.trace(trace_id, span_queue=ends).end_span(span)
            await ends.shutdown()
            ended = await client.spans.retrieve(span.id)
            assert ended.end_time == span.end_time
            # agentex-api row 76: the two modes differ in what PATCH merges.
            assert ended.data == ({"e": 2} if end_only else {"d": 1, "e": 2})

    asyncio.run(agent())


@pytest.mark.parametrize("processors", [("agentex",)], indirect=True, ids="+".join)
def test_traces_read_back_through_the_tracer(server, processors, trace_id):
    with Agentex(base_url=server.url) as client:
        trace = Tracer(client).trace(trace_id)
        spans = run_sync(trace, RECORDS_ERRORS)
        assert {span.id for span in trace.list_spans()} == {span["id"] for span in spans}
        assert trace.get_span(spans[0]["id"]).name == "model"


def test_a_falsy_trace_id_sends_nothing(server, processors):
    name = f"never-{uuid.uuid4()}"
    with Agentex(base_url=server.url) as client:
        with Tracer(client).trace("").span(name) as span:
            assert span is None
        assert all(span.name != name for span in client.spans.list(limit=1000))
