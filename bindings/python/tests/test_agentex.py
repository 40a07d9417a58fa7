"""The drop-in for agentex-sdk, of whichever release is installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from backend import Backend

pytest.importorskip("agentex.lib.core.tracing.trace")

from agentex.lib.core.tracing import AsyncSpanQueue, AsyncTrace, Trace, tracing_processor_manager  # noqa: E402
from agentex.lib.core.tracing import span_queue as span_queue_module  # noqa: E402
from agentex.lib.core.tracing.processors import agentex_tracing_processor, sgp_tracing_processor  # noqa: E402
from agentex.lib.core.tracing.span_queue import SpanEventType  # noqa: E402
from agentex.lib.core.tracing.tracer import AsyncTracer, Tracer  # noqa: E402
from agentex.lib.types.tracing import AgentexTracingProcessorConfig, SGPTracingProcessorConfig  # noqa: E402
from agentex.types.span import Span  # noqa: E402

import endspan.agentex  # noqa: E402
from agentex_drop_in import (  # noqa: E402, F401
    MANAGER,
    Recorder,
    SyncRecorder,
    dropped_in,
    flush,
    register,
    sgp_config,
)


def test_a_span_of_the_async_tracer(backend: Backend) -> None:
    register(backend, agentex=True)

    async def main() -> Span:
        trace = AsyncTracer(None).trace("t-1")
        async with trace.span("step", input={"a": 1}, data={"__span_type__": "COMPLETION"}, task_id="task") as span:
            assert isinstance(span, Span) and span.input == {"a": 1}
            span.output = {"b": 2}
        return span

    span = asyncio.run(main())
    flush()
    (item,) = backend.sgp
    assert item["id"] == span.id and item["trace_id"] == "t-1" and item["type"] == "COMPLETION"
    assert item["input"] == {"a": 1} and item["output"] == {"b": 2} and item["status"] == "SUCCESS"
    assert item["metadata"]["__source__"] == "agentex" and item["metadata"]["__agent_name__"] == "an-agent"
    (row,) = backend.agentex
    # Row 62: what one destination wants does not show at another.
    assert row["data"] == {"__span_type__": "COMPLETION"}
    assert row["task_id"] == "task" and span.task_id == "task"


def test_a_span_of_the_sync_tracer(backend: Backend) -> None:
    register(backend)
    with Tracer(None).trace("t-1").span("step", input={"a": 1}) as span:
        span.output = {"b": 2}
    flush()
    assert [item["output"] for item in backend.sgp] == [{"b": 2}]


def test_row_1_and_2_no_trace_id(backend: Backend) -> None:
    register(backend)
    trace = Tracer(None).trace("")
    with pytest.raises(ValueError, match="Trace ID"):
        trace.start_span("n")
    with trace.span("n") as span:
        assert span is None

    async def main() -> None:
        async_trace = AsyncTracer(None).trace(None)
        with pytest.raises(ValueError, match="Trace ID"):
            await async_trace.start_span("n")
        async with async_trace.span("n") as span:
            assert span is None

    asyncio.run(main())
    flush()
    assert backend.sgp == []


def test_rows_3_to_10_what_a_span_holds(backend: Backend) -> None:
    import datetime
    import uuid

    from agentex.lib.utils.model_utils import recursive_model_dump
    from pydantic import BaseModel

    class Model(BaseModel):
        a: int = 1
        when: datetime.datetime = datetime.datetime(2024, 1, 2)

    trace = Tracer(None).trace("t")
    span = trace.start_span("n", task_id="T")
    assert uuid.UUID(span.id).version == 4 and span.trace_id == "t" and span.task_id == "T"
    assert span.end_time is None and span.start_time.utcoffset() == datetime.timedelta(0)
    for empty in ({}, [], 0, ""):
        assert trace.start_span("n", input=empty).input is None
    value = {"when": datetime.datetime(2024, 1, 2), "set": {1}, "function": print, "model": Model(), "tuple": (1, "a")}
    assert trace.start_span("n", input=value).input == recursive_model_dump(value)
    assert trace.start_span("n", input=Model()).input == Model().model_dump(mode="json")
    span = trace.start_span("n", input={"a": 1})
    assert Span.model_validate(span.model_dump()).model_dump() == span.model_dump()
    assert span.model_copy(deep=True) == span
    assert span.model_dump_json(exclude_unset=True)


def test_rows_11_and_12_nothing_is_refused(backend: Backend) -> None:
    register(backend)

    async def main() -> None:
        trace = AsyncTracer(None).trace("t")
        for number, value in enumerate((["a"], {1: "a"}, "text", 5, {"lock": threading.Lock()})):
            async with trace.span(f"s{number}", input=value):
                pass

    asyncio.run(main())
    flush()
    assert len(backend.sgp) == 5


def test_row_13_and_14_snapshots(backend: Backend) -> None:
    register(backend)
    messages = [{"role": "user"}]

    async def main() -> None:
        async with AsyncTracer(None).trace("t").span("step", input={"messages": messages}) as span:
            # The caller's own list is not the span's any more; the span's own is.
            messages.append({"role": "not mine"})
            span.input["messages"].append({"role": "assistant"})
            span.output = {"x": [1]}
        span.output["x"].append("late")

    asyncio.run(main())
    flush()
    assert backend.sgp[0]["input"] == {"messages": [{"role": "user"}, {"role": "assistant"}]}
    assert backend.sgp[0]["output"] == {"x": [1]}


def test_rows_16_to_18_ends(backend: Backend) -> None:
    import datetime

    register(backend)
    trace = Tracer(None).trace("t")
    span = trace.start_span("n")
    preset = datetime.datetime(2030, 1, 2, tzinfo=datetime.timezone.utc)
    span.end_time, span.output = preset, {}
    assert trace.end_span(span) is span
    assert span.end_time == preset and span.output is None
    trace.end_span(span)
    assert span.end_time == preset


def test_rows_19_to_23_errors(backend: Backend) -> None:
    register(backend)
    with pytest.raises(ValueError, match="boom"):
        with Tracer(None).trace("t").span("sync", data={"__span_type__": "CUSTOM"}):
            raise ValueError("boom")

    async def main() -> None:
        trace = AsyncTracer(None).trace("t")
        with pytest.raises(ValueError):
            async with trace.span("async"):
                raise ValueError("bang")
        with pytest.raises(ValueError):
            async with trace.span("list", data=[{"a": 1}]) as span:
                raise ValueError
        assert span.data == [{"a": 1}]
        entered = asyncio.Event()

        async def cancelled() -> None:
            async with trace.span("cancelled"):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(cancelled())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    flush()
    items = {item["name"]: item for item in backend.sgp}
    assert items["sync"]["status"] == items["async"]["status"] == items["cancelled"]["status"] == "ERROR"
    assert items["sync"]["type"] == "CUSTOM"
    assert items["sync"]["metadata"]["__error__"]["message"] == "boom"
    assert items["cancelled"]["metadata"]["__error__"]["type"] == "CancelledError"


def test_row_24_the_facade_records_errors(backend: Backend) -> None:
    register(backend)
    facade = pytest.importorskip("agentex.lib.adk._modules.tracing")
    service = pytest.importorskip("agentex.lib.core.services.adk.tracing")

    async def main() -> None:
        module = facade.TracingModule(tracing_service=service.TracingService(tracer=AsyncTracer(None)))
        async with module.span(trace_id="", name="nothing") as span:
            assert span is None
        with pytest.raises(ValueError):
            async with module.span(trace_id="t", name="step", input={"a": 1}) as span:
                span.output = {"b": 1}
                raise ValueError("boom")

    asyncio.run(main())
    flush()
    (item,) = backend.sgp
    assert item["status"] == "ERROR" and item["metadata"]["__error__"]["message"] == "boom"
    assert item["output"] == {"b": 1}


def test_row_35_and_36_the_registry(backend: Backend) -> None:
    thread = threading.Thread(
        target=tracing_processor_manager.set_tracing_processor_configs,
        args=([sgp_config(backend), AgentexTracingProcessorConfig()],),
        daemon=True,
    )
    thread.start()
    thread.join(120)
    assert not thread.is_alive(), "set_processor_configs hangs"
    assert [type(of).__name__ for of in MANAGER.get_sync_processors()] == [
        "SGPSyncTracingProcessor",
        "AgentexSyncTracingProcessor",
    ]
    assert len(MANAGER.get_async_processors()) == 2
    with pytest.raises(KeyError):
        MANAGER.add_processor_config(type("Config", (), {"type": "unknown"})())


def test_d21_processors_need_no_agent_name(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACP_URL")
    register(backend)
    with Tracer(None).trace("t").span("n"):
        pass
    flush()
    assert len(backend.sgp) == 1


def test_row_58_switched_off(backend: Backend) -> None:
    config = SGPTracingProcessorConfig(sgp_api_key="", sgp_account_id="", sgp_base_url=backend.url)
    tracing_processor_manager.add_tracing_processor_config(config)
    with Tracer(None).trace("t").span("n"):
        pass
    flush()
    assert backend.requests == 0


def test_processors_registered_before_the_installation(backend: Backend) -> None:
    endspan.agentex.uninstall()
    processor = sgp_tracing_processor.SGPAsyncTracingProcessor(sgp_config(backend))
    MANAGER.async_processors.append(processor)
    trace = AsyncTracer(None).trace("t")
    endspan.agentex.install()

    async def main() -> None:
        async with trace.span("n"):
            pass

    asyncio.run(main())
    flush()
    assert len(backend.sgp) == 1


def test_processors_called_directly(backend: Backend) -> None:
    processor = sgp_tracing_processor.SGPAsyncTracingProcessor(sgp_config(backend))
    sync = agentex_tracing_processor.AgentexSyncTracingProcessor(AgentexTracingProcessorConfig())
    trace = Tracer(None).trace("t")
    spans = [trace.end_span(trace.start_span(f"s{number}")) for number in range(3)]

    async def main() -> None:
        await processor.on_spans_start(spans)
        await processor.on_spans_end(spans)
        await processor.shutdown()

    asyncio.run(main())
    sync.on_span_start(spans[0])
    sync.on_span_end(spans[0])
    sync.shutdown()
    # Rows 37, 46, 59: ends only, all in one request.
    assert len(backend.sgp) == 3 and len(backend.agentex) == 1
    assert backend.headers[0]["x-api-key"] == "key"


def test_user_processors_are_called(backend: Backend) -> None:
    register(backend)
    recorder, sync = Recorder(), SyncRecorder()
    MANAGER.async_processors.append(recorder)
    MANAGER.sync_processors.append(sync)

    async def main() -> None:
        queue = AsyncSpanQueue(linger_ms=0)
        trace = AsyncTrace(MANAGER.async_processors, None, "t", queue)  # type: ignore[arg-type]
        async with trace.span("n", input={"a": 1}) as span:
            span.output = {"b": 1}
        await queue.shutdown(120)

    asyncio.run(main())
    assert [event for event, _ in recorder.events] == ["start", "end"]
    assert recorder.events[0][1].output is None and recorder.events[1][1].output == {"b": 1}
    with Trace(MANAGER.sync_processors, None, "t").span("n") as span:  # type: ignore[arg-type]
        pass
    assert sync.events == [("start", span), ("end", span)]
    flush()
    assert len(backend.sgp) == 2


def test_row_126_many_loops_and_threads(backend: Backend) -> None:
    register(backend)
    recorder = Recorder()
    MANAGER.async_processors.append(recorder)
    trace = AsyncTracer(None).trace("t")

    async def main(name: str, ends: int) -> None:
        async with trace.span(name):
            pass
        # Processors of the program run on its loop, as long as that lives.
        for _ in range(12000):
            if sum(event == "end" for event, _ in recorder.events) == ends:
                break
            await asyncio.sleep(0.01)

    for number in range(3):
        asyncio.run(main(f"loop {number}", number + 1))
    thread = threading.Thread(target=lambda: asyncio.run(main("thread", 4)))
    thread.start()
    thread.join()
    # Without any loop.
    recorder.seen.clear()
    alone = Trace([], None, "t").start_span("no loop")  # type: ignore[arg-type]
    trace._span_queue.enqueue(SpanEventType.END, alone, trace.processors)
    assert recorder.seen.wait(120)
    flush()
    assert len(backend.sgp) == 5
    assert sum(event == "end" for event, _ in recorder.events) == 5


def test_d16_a_processor_that_raises_hurts_nobody(backend: Backend) -> None:
    class Broken(SyncRecorder):
        def on_span_start(self, span: Span) -> None:
            raise RuntimeError("no")

        on_span_end = on_span_start

    register(backend)
    after = SyncRecorder()
    MANAGER.sync_processors += [Broken(), after]
    with pytest.raises(ValueError):
        with Tracer(None).trace("t").span("n"):
            raise ValueError
    assert len(after.events) == 2


def test_the_queue(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    register(backend)

    async def main() -> None:
        queue = span_queue_module.get_default_span_queue()
        assert queue.depth == 0 and queue.dropped_spans == 0
        trace = AsyncTracer(None).trace("t", span_queue=queue)
        for number in range(5):
            async with trace.span(f"s{number}"):
                pass
        # Row 93: all are delivered.
        await span_queue_module.shutdown_default_span_queue(10)
        assert len(backend.sgp) == 5 and queue.depth == 0 and queue.dropped_spans == 0
        # Row 95: afterwards they are dropped, and counted.
        async with trace.span("late"):
            pass
        assert queue.dropped_spans >= 1
        # Row 98: the next use makes a new one.
        assert span_queue_module.get_default_span_queue() is not queue
        async with AsyncTracer(None).trace("t").span("new queue"):
            pass

    asyncio.run(main())
    flush()
    assert [item["name"] for item in backend.sgp] == ["s0", "s1", "s2", "s3", "s4", "new queue"]


def test_row_97_a_linger_does_not_lose(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTEX_SPAN_QUEUE_LINGER_MS", "60000")
    register(backend)

    async def main() -> None:
        trace = AsyncTracer(None).trace("t")
        for number in range(3):
            async with trace.span(f"s{number}"):
                pass
        await span_queue_module.shutdown_default_span_queue(5)

    asyncio.run(main())
    assert len(backend.sgp) == 3


def test_row_5_no_processors() -> None:
    trace = Tracer(None).trace("t")
    span = trace.end_span(trace.start_span("n", input={"a": 1}))
    assert span.end_time is not None and endspan.agentex.tracers() == []


def test_row_31_list_data_under_an_observability_trace(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    trace_module = pytest.importorskip("opentelemetry.trace")
    monkeypatch.setenv("SGP_OBS_MODE", "lgtm")
    register(backend)
    context = trace_module.SpanContext(0xABC, 0xDEF, False, trace_module.TraceFlags(1))
    with trace_module.use_span(trace_module.NonRecordingSpan(context)):
        with Tracer(None).trace("t").span("n", data=[{"a": 1}]) as span:
            assert span.data == [{"a": 1}]
    flush()
    assert len(backend.sgp) == 1


def patched() -> list[Any]:
    """What an installation changes."""
    from agentex.lib.core.tracing import trace as trace_module

    return [
        Trace,
        AsyncTrace,
        AsyncSpanQueue,
        sgp_tracing_processor.SGPSyncTracingProcessor,
        sgp_tracing_processor.SGPAsyncTracingProcessor,
        agentex_tracing_processor.AgentexSyncTracingProcessor,
        agentex_tracing_processor.AgentexAsyncTracingProcessor,
        tracing_processor_manager.TracingProcessorManager,
        trace_module,
    ]


def test_uninstall_puts_everything_back() -> None:
    classes = patched()
    endspan.agentex.uninstall()
    before = [dict(vars(of)) for of in classes]
    lock = MANAGER.lock
    endspan.agentex.install()
    endspan.agentex.install()
    assert endspan.agentex.installed()
    assert any(dict(vars(of)) != was for of, was in zip(classes, before))
    endspan.agentex.uninstall()
    endspan.agentex.uninstall()
    assert [dict(vars(of)) for of in classes] == before and MANAGER.lock is lock


def test_an_installation_that_fails_puts_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose queue, say, is not what any known one has."""
    classes = patched()
    endspan.agentex.uninstall()
    before = [dict(vars(of)) for of in classes]
    lock = MANAGER.lock
    with monkeypatch.context() as patch:
        patch.delattr(AsyncSpanQueue, "depth")
        changed = [dict(vars(of)) for of in classes]
        with pytest.raises(AttributeError):
            endspan.agentex.install()
        assert not endspan.agentex.installed()
        assert [dict(vars(of)) for of in classes] == changed != before and MANAGER.lock is lock
    endspan.agentex.install()
    assert endspan.agentex.installed()


def test_signatures_stay() -> None:
    import inspect

    program = """
        import inspect
        from agentex.lib.core.tracing import AsyncSpanQueue, AsyncTrace, Trace
        for of in (Trace.start_span, Trace.end_span, Trace.span, AsyncTrace.start_span, AsyncTrace.end_span,
                   AsyncTrace.span, AsyncSpanQueue.enqueue, AsyncSpanQueue.shutdown):
            print(of.__qualname__, list(inspect.signature(of).parameters)[1:])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    reference = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    ours = [
        f"{name} {list(inspect.signature(of).parameters)[1:]}"
        for name, of in (
            ("Trace.start_span", Trace.start_span),
            ("Trace.end_span", Trace.end_span),
            ("Trace.span", Trace.span),
            ("AsyncTrace.start_span", AsyncTrace.start_span),
            ("AsyncTrace.end_span", AsyncTrace.end_span),
            ("AsyncTrace.span", AsyncTrace.span),
            ("AsyncSpanQueue.enqueue", AsyncSpanQueue.enqueue),
            ("AsyncSpanQueue.shutdown", AsyncSpanQueue.shutdown),
        )
    ]
    assert [line for line in reference if line] == ours
