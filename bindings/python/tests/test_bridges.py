"""The bridges: scale-gp-beta's tracing, OpenTelemetry, the OpenAI Agents SDK."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from backend import Backend

import endspan


@pytest.fixture
def scale_gp(backend: Backend) -> Iterator[Any]:
    tracing = pytest.importorskip("scale_gp_beta.lib.tracing")
    import scale_gp_beta

    import endspan.scale_gp

    endspan.scale_gp.install(linger_ms=1)
    tracing.trace_queue_manager._global_tracing_queue_manager = None
    client = scale_gp_beta.SGPClient(api_key="key", account_id="account", base_url=backend.url)
    tracing.init(client)
    yield tracing
    endspan.scale_gp.uninstall(5)
    tracing.trace_queue_manager._global_tracing_queue_manager.shutdown(120)
    tracing.trace_queue_manager._global_tracing_queue_manager = None


def test_scale_gp_traces_and_spans(scale_gp: Any, backend: Backend) -> None:
    with scale_gp.create_trace("workflow", metadata={"m": 1}) as trace:
        with scale_gp.create_span("step", span_type="COMPLETION", input={"a": 1}) as span:
            span.output = {"b": 2}
        with pytest.raises(ValueError):
            with scale_gp.create_span("broken"):
                raise ValueError("boom")
    scale_gp.flush_queue()
    items = {item["name"]: item for item in backend.sgp}
    assert set(items) == {"workflow", "step", "broken"} and len(backend.sgp) == 3
    assert items["step"]["parent_id"] == items["workflow"]["id"] == trace.root_span.span_id
    assert items["step"]["output"] == {"b": 2} and items["step"]["type"] == "COMPLETION"
    assert items["step"]["start_timestamp"] and items["step"]["end_timestamp"]
    assert items["broken"]["status"] == "ERROR"
    assert items["broken"]["metadata"]["error_message"] == "boom"
    assert items["workflow"]["metadata"]["m"] == 1
    assert backend.headers[0]["x-api-key"] == "key"
    (tracer,) = endspan.scale_gp.tracers()
    assert tracer.flush(120).delivered == 3


def test_scale_gp_sends_what_it_replaces(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program with and without the drop-in; items are equal, key by key."""
    tracing = pytest.importorskip("scale_gp_beta.lib.tracing")
    import scale_gp_beta

    import endspan.scale_gp

    for name, value in {"AGENT_NAME": "agent", "AGENT_ID": "7"}.items():
        monkeypatch.setenv(name, value)

    def items(destination: Backend) -> dict[str, dict[str, Any]]:
        client = scale_gp_beta.SGPClient(api_key="key", account_id="account", base_url=destination.url)
        tracing.trace_queue_manager._global_tracing_queue_manager = None
        tracing.init(client)
        with tracing.create_trace("workflow", trace_id="t", span_id="w", group_id="g", metadata={"m": {"k": [1, "é"]}}):
            with tracing.create_span("step", span_id="s", span_type="COMPLETION", input={"a": 1.5}) as span:
                span.output = {"b": [None, True]}
            with pytest.raises(ValueError):
                with tracing.create_span("broken", span_id="b", metadata={"mine": 1}):
                    raise ValueError("boom")
            with tracing.create_span("empty", span_id="e"):
                pass
        tracing.flush_queue()
        tracing.trace_queue_manager._global_tracing_queue_manager.shutdown(120)

        # The original writes spans twice; what counts is what is stored in the end.
        def ended(there: Backend) -> dict[str, dict[str, Any]]:
            return {item["id"]: item for item in there.sgp if item.get("end_timestamp")}

        assert destination.wait_for(lambda there: len(ended(there)) == 4)
        return ended(destination)

    original = items(backend)
    other = Backend()
    endspan.scale_gp.install(linger_ms=1)
    try:
        ours = items(other)
    finally:
        endspan.scale_gp.uninstall(120)
        tracing.trace_queue_manager._global_tracing_queue_manager = None
        other.close()
    times = ("start_timestamp", "end_timestamp")
    assert ours.keys() == original.keys()
    for id, item in original.items():
        assert {key: ours[id].get(key) for key in item if key not in times} == {
            key: value for key, value in item.items() if key not in times
        }
        assert ours[id].keys() == item.keys()
        assert [len(ours[id][key]) for key in times] == [len(item[key]) for key in times]


def test_d24_a_bad_payload_hurts_no_other(scale_gp: Any, backend: Backend) -> None:
    with scale_gp.create_trace("workflow"):
        with scale_gp.create_span("bad", input={"nan": float("nan"), "lock": __import__("threading").Lock()}):
            pass
        for number in range(20):
            with scale_gp.create_span(f"s{number}"):
                pass
    scale_gp.flush_queue()
    assert len(backend.sgp) == 22


def test_scale_gp_uninstall(scale_gp: Any) -> None:
    manager = scale_gp.trace_queue_manager.TraceQueueManager
    patched = dict(vars(manager))
    endspan.scale_gp.uninstall(1)
    assert dict(vars(manager)) != patched
    assert vars(manager)["enqueue"].__module__.startswith("scale_gp_beta")


def test_scale_gp_export_functions_of_the_program_are_left_alone(scale_gp: Any, backend: Backend) -> None:
    exported: list[Any] = []
    manager = scale_gp.trace_queue_manager.TraceQueueManager(
        client=scale_gp.trace_queue_manager._global_tracing_queue_manager.client,
        export_fn=exported.append,
        worker_enabled=False,
    )
    with scale_gp.create_trace("workflow", queue_manager=manager):
        pass
    manager.flush_queue()
    assert exported and backend.sgp == []


def test_opentelemetry(backend: Backend) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry import trace as api

    import endspan.opentelemetry

    tracer = endspan.Tracer([endspan.SGPExporter("key", "account", backend.url)], linger_ms=1, spool=False)
    provider = sdk.TracerProvider()
    provider.add_span_processor(endspan.opentelemetry.EndspanSpanProcessor(tracer))
    otel = provider.get_tracer("scope")
    with otel.start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent"}) as agent:
        messages = '[{"role":"user"}]'
        with otel.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}) as chat:
            chat.set_attribute("gen_ai.input.messages", messages)
            chat.set_attribute("gen_ai.usage.input_tokens", 3)
            chat.set_attribute("tags", ["a", "b"])
            chat.add_event("first token", {"n": 1})
        with pytest.raises(ValueError):
            with otel.start_as_current_span("tool"):
                raise ValueError("boom")
    exporter = endspan.opentelemetry.EndspanSpanExporter(tracer)
    from opentelemetry.sdk.trace.export import SpanExportResult

    assert exporter.export([]) is SpanExportResult.SUCCESS
    assert provider.force_flush()
    items = {item["name"]: item for item in backend.sgp}
    assert len(items) == 3
    # The exporter, behind a processor of OpenTelemetry's, hands over the same as the processor.
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    behind = sdk.TracerProvider()
    behind.add_span_processor(BatchSpanProcessor(exporter))
    with behind.get_tracer("scope").start_as_current_span("outer", attributes={"a": 1}) as outer:
        with behind.get_tracer("scope").start_as_current_span("inner"):
            pass
    assert behind.force_flush() and exporter.force_flush()
    exported = {item["name"]: item for item in backend.sgp[3:]}
    assert set(exported) == {"outer", "inner"}
    assert exported["outer"]["id"] == api.format_span_id(outer.get_span_context().span_id)
    assert exported["inner"]["parent_id"] == exported["outer"]["id"]
    assert exported["outer"]["metadata"]["a"] == 1
    behind.shutdown()
    context = agent.get_span_context()
    assert items["agent"]["id"] == api.format_span_id(context.span_id)
    assert items["agent"]["trace_id"] == api.format_trace_id(context.trace_id)
    assert items["chat"]["parent_id"] == items["agent"]["id"]
    assert items["chat"]["type"] == "COMPLETION" and items["agent"]["type"] == "AGENT_WORKFLOW"
    assert items["chat"]["input"] == {"items": [{"role": "user"}]}
    assert items["chat"]["metadata"]["gen_ai.usage.input_tokens"] == 3
    assert items["chat"]["metadata"]["tags"] == ["a", "b"]
    assert items["chat"]["metadata"]["events"][0]["name"] == "first token"
    assert items["tool"]["status"] == "ERROR"
    assert items["tool"]["metadata"]["__error__"] == {"type": "ValueError", "message": "boom"}
    provider.shutdown()


def test_openai_agents(backend: Backend) -> None:
    os.environ.setdefault("OPENAI_API_KEY", "unused")
    agents = pytest.importorskip("agents")
    import endspan.openai_agents

    tracer = endspan.Tracer([endspan.SGPExporter("key", "account", backend.url)], linger_ms=1, spool=False)
    processor = endspan.openai_agents.EndspanTraceProcessor(tracer)
    agents.set_trace_processors([processor])
    try:
        with agents.trace("workflow", group_id="g", metadata={"m": 1}) as trace:
            with agents.agent_span("an agent", tools=["search"]) as agent:
                with agents.function_span("search", input="query") as tool:
                    tool.span_data.output = "found"
                with agents.generation_span(input=[{"role": "user"}], model="m-1") as generation:
                    generation.span_data.output = [{"role": "assistant"}]
                    generation.set_error({"message": "boom", "data": {"code": 1}})
    finally:
        agents.set_trace_processors([])
    processor.force_flush()
    items = {item["name"]: item for item in backend.sgp}
    assert set(items) == {"workflow", "an agent", "search", "generation"}
    assert {item["trace_id"] for item in backend.sgp} == {trace.trace_id}
    assert items["an agent"]["parent_id"] == items["workflow"]["id"]
    assert items["search"]["parent_id"] == agent.span_id == items["an agent"]["id"]
    assert items["workflow"]["group_id"] == "g" and items["workflow"]["metadata"]["m"] == 1
    assert items["generation"]["status"] == "ERROR" and items["generation"]["type"] == "COMPLETION"
    assert items["generation"]["metadata"]["model"] == "m-1"
    tracer.shutdown(5)


Point = tuple[Any, ...]


class Instruments:
    """The instruments of this process, as a reader of OpenTelemetry's has them."""

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        self.units: dict[str, tuple[str, str]] = {}

    def read(self) -> dict[Point, Any]:
        """Values, and counts and sums of histograms, by name and attributes."""
        found: dict[Point, Any] = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                assert scope.scope.name == "agentex.tracing"
                for metric in scope.metrics:
                    name = metric.name.removeprefix("agentex.tracing.")
                    self.units[name] = (type(metric.data).__name__, metric.unit)
                    for point in metric.data.data_points:
                        key = (name, *(f"{key}={value}" for key, value in sorted(point.attributes.items())))
                        found[key] = (point.count, point.sum) if hasattr(point, "sum") else point.value
        return found


@pytest.fixture
def instruments(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instruments]:
    pytest.importorskip("opentelemetry.sdk")
    import endspan.metrics

    monkeypatch.setenv("AGENTEX_TRACING_METRICS", " Off")
    assert not endspan.metrics.install()
    monkeypatch.delenv("AGENTEX_TRACING_METRICS")
    # Tracers of other tests are not counted.
    gc.collect()
    instruments = Instruments()
    assert endspan.metrics.install(instruments.provider) and endspan.metrics.installed()
    yield instruments
    endspan.metrics.uninstall()
    before = instruments.read()
    with endspan.Tracer([endspan.SGPExporter("key", "account", "http://127.0.0.1:9")], spool=False) as late:
        late.trace("t").span("s").start().end()
        late.shutdown(0)
    assert {key: value for key, value in instruments.read().items() if before.get(key) != value} == {}


def test_rows_99_to_106_instruments(instruments: Instruments, tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")
    for _ in range(5):
        with trace.span("s"):
            pass
    assert tracer.flush(120).is_complete
    other = endspan.Tracer([endspan.SGPExporter("key", "account", backend.url)], spool=False)
    with other.trace("t").span("one more"):
        pass
    other.shutdown(120)
    # What a tracer did is not lost with it, and no counter falls back.
    del other
    gc.collect()
    found = instruments.read()
    assert found["span_events.enqueued", "event_type=end"] == 6
    assert ("span_events.enqueued", "event_type=start") not in found
    assert found["export.spans", "event_type=end", "processor=sgp"] == 6
    assert found["export.spans", "event_type=end", "processor=other"] == 5
    assert 2 <= found["export.batches", "event_type=end", "processor=sgp"] <= 6
    assert not [key for key in found if key[0].endswith(("failures", "timeouts", "dropped"))]
    # Read in as many steps as endspan's thread took them.
    reads, items = found[("batch.items",)]
    assert 2 <= reads <= 6 and items == 6
    assert found[("queue.depth",)][0] == reads and found[("queue.depth",)][1] >= items
    assert 1 <= found[("queue.lag",)][0] <= reads and found[("queue.lag",)][1] > 0
    batches, spans = found["batch.size", "phase=end"]
    assert 3 <= batches <= 11 and spans == 11
    assert found["batch.drain_duration", "phase=end"][0] == batches
    assert found["endspan.queue.pending", "processor=sgp"] == 0
    assert instruments.read() == found
    assert {name: kind for name, kind in instruments.units.items() if not name.startswith("endspan.")} == {
        "span_events.enqueued": ("Sum", "1"),
        "queue.depth": ("Histogram", "1"),
        "queue.lag": ("Histogram", "ms"),
        "batch.items": ("Histogram", "1"),
        "batch.size": ("Histogram", "1"),
        "batch.drain_duration": ("Histogram", "ms"),
        "export.batches": ("Sum", "1"),
        "export.spans": ("Sum", "1"),
    }


def test_row_104_failures_are_classified(instruments: Instruments, backend: Backend) -> None:
    backend.status = 422
    tracer = endspan.Tracer([endspan.SGPExporter("key", "account", backend.url)], spool=False)
    tracer.trace("t").span("refused").start().end()
    assert tracer.flush(120).dropped == 1
    found = instruments.read()
    failure = ("error_class=client_error", "event_type=end", "http_code=4xx", "processor=sgp")
    assert found[("export.batch_failures", *failure)] == found[("export.span_failures", *failure)] == 1
    assert found["span_events.dropped", "reason=rejected"] == 1
    backend.status = 503
    for _ in range(3):
        tracer.trace("t").span("late").start().end()
    assert tracer.shutdown(0).dropped == 4
    found = instruments.read()
    assert found[("shutdown.timeouts",)] == 1 and found[("shutdown.remaining_items",)] == (1, 3)
    assert found["span_events.dropped", "reason=shutdown_timeout"] == 3


def test_starts_are_counted_where_they_are_written(instruments: Instruments, backend: Backend) -> None:
    exporter = endspan.SGPExporter("key", "account", backend.url, write_starts=True)
    tracer = endspan.Tracer([exporter], spool=False, every_start=True)
    with tracer.trace("t").span("s"):
        assert tracer.flush(120).delivered == 1
    assert tracer.shutdown(120).delivered == 2
    found = instruments.read()
    for phase in ("start", "end"):
        assert found["span_events.enqueued", f"event_type={phase}"] == 1
        assert found["export.spans", f"event_type={phase}", "processor=sgp"] == 1
        assert found["batch.size", f"phase={phase}"] == (1, 1)
