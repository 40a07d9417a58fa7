"""OpenTelemetry's protocols: OTLP out, W3C trace context in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from backend import Backend

import endspan

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in body["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in of.get("attributes", ())}


def test_a_span_reaches_a_collector(backend: Backend) -> None:
    exporter = endspan.OTLPExporter(
        f"{backend.url}/v1/traces",
        {"x-api-key": "secret"},
        timeout=30,
        compression="none",
        protocol="http/json",
        resource={"service.name": "agent"},
    )
    assert exporter.name == "otlp" and exporter.identity == f"otlp {backend.url}/v1/traces"
    assert exporter.disabled is None and "secret" not in repr(exporter)
    tracer = endspan.Tracer([exporter], spool=False)
    trace = tracer.trace("0af7651916cd43dd8448eb211c80319c")
    with trace.span("root", input={"question": "why?"}) as root:
        with trace.span("child", span_type="COMPLETION"):
            pass
    report = tracer.shutdown(120)
    assert report.is_complete and report.delivered == 2
    found = {span["name"]: span for body in backend.otlp for span in spans_of(body)}
    assert {span["traceId"] for span in found.values()} == {"0af7651916cd43dd8448eb211c80319c"}
    assert found["child"]["parentSpanId"] == found["root"]["spanId"]
    assert "parentSpanId" not in found["root"] or not found["root"]["parentSpanId"]
    assert "why?" in str(attributes(found["root"]))
    assert root.id in str(attributes(found["root"]))
    assert attributes(backend.otlp[0]["resourceSpans"][0]["resource"])["service.name"] == "agent"
    assert backend.headers[0]["x-api-key"] == "secret"


def test_the_environment_of_opentelemetry_is_read(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-the-environment")
    tracer = endspan.Tracer([endspan.OTLPExporter()], spool=False)
    tracer.trace("t").span("s").start().end()
    assert tracer.shutdown(120).delivered == 1
    assert backend.headers[0]["content-type"] == "application/x-protobuf"
    assert backend.headers[0]["content-encoding"] == "gzip"
    assert b"from-the-environment" in backend.otlp[0]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert "grpc" in (endspan.OTLPExporter().disabled or "")


@pytest.mark.parametrize("wrong", [{"compression": "br"}, {"protocol": "grpc"}, {"timeout": -1.0}])
def test_settings_that_mean_nothing_are_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        endspan.OTLPExporter(**wrong)


def test_one_span_for_every_protocol(backend: Backend) -> None:
    exporters = [
        endspan.SGPExporter("key", "account", backend.url),
        endspan.AgentexExporter(backend.url),
        endspan.OTLPExporter(f"{backend.url}/v1/traces", protocol="http/json"),
    ]
    tracer = endspan.Tracer(exporters, spool=False)
    tracer.trace("t").span("s").start().end()
    assert tracer.shutdown(120).delivered == 3
    assert len(backend.sgp) == len(backend.agentex) == len(backend.otlp) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": PARENT, "tracestate": "congo=1"},
        {"TraceParent": PARENT, "TRACESTATE": "congo=1"},
        [(b"host", b"x"), (b"traceparent", PARENT.encode()), (b"tracestate", b"congo=1")],
        [("tracestate", "congo=1"), ("traceparent", f" {PARENT} ")],
    ],
)
def test_headers_in_every_shape(headers: Any) -> None:
    context = endspan.TraceContext.extract(headers)
    assert context is not None
    assert context.trace_id == "0af7651916cd43dd8448eb211c80319c" and context.span_id == "b7ad6b7169203331"
    assert context.is_sampled and context.traceparent == PARENT and context.tracestate == "congo=1"
    assert context == endspan.TraceContext.parse(PARENT, "congo=1")
    assert len({context, endspan.TraceContext.parse(PARENT, "congo=1")}) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "00-0-0-01"},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        [("traceparent", PARENT), ("Traceparent", PARENT)],
        {"traceparent": 17},
        {"traceparent": None},
        [(b"traceparent", b"\xff")],
        None,
        17,
        ["traceparent"],
    ],
)
def test_headers_that_say_nothing(tracer: endspan.Tracer, headers: Any) -> None:
    assert endspan.TraceContext.extract(headers) is None
    trace = tracer.continue_trace(headers)
    assert trace.id and not trace.is_noop
    assert trace.span("s").start().parent_id is None


def test_a_trace_goes_on(tracer: endspan.Tracer, backend: Backend) -> None:
    incoming = {"traceparent": PARENT[:-1] + "0", "tracestate": "congo=1"}
    trace = tracer.continue_trace(incoming, task_id="task-1", group_id="g")
    assert trace.id == "0af7651916cd43dd8448eb211c80319c"
    assert endspan.TraceContext.current() is None
    with trace.span("handle") as handle:
        assert handle.parent_id == "b7ad6b7169203331"
        with trace.span("inner") as inner:
            assert inner.parent_id == handle.id
            outgoing: dict[str, str] = {"tracestate": "stale=1"}
            context = endspan.TraceContext.current()
            assert context is not None and context == endspan.TraceContext.of(inner)
            assert context.inject(outgoing) is outgoing
    assert trace.span("alone", root=True).start().parent_id is None
    assert trace.span("by hand", parent="p").start().parent_id == "p"
    # The flag and the other vendors' members are handed on, the ids arrive as they are.
    assert outgoing["traceparent"].endswith("-00") and outgoing["tracestate"].endswith(",congo=1")
    arrived = endspan.TraceContext.extract(outgoing)
    assert arrived is not None and (arrived.trace_id, arrived.span_id) == (trace.id, inner.id)
    with tracer.continue_trace(arrived).span("elsewhere") as elsewhere:
        assert elsewhere.parent_id == inner.id
    tracer.flush(120)
    items = {item["name"]: item for item in backend.sgp}
    assert items["handle"]["parent_id"] == "b7ad6b7169203331" and items["handle"]["group_id"] == "g"
    assert items["elsewhere"]["trace_id"] == trace.id


def test_any_ids_come_back() -> None:
    context = endspan.TraceContext("a conversation, with = and ✓", "s;1")
    outgoing = context.inject({})
    assert endspan.TraceContext.extract(outgoing) == context
    plain = endspan.TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert plain.inject({"tracestate": "stale=1"}) == {"traceparent": PARENT}
    for ids in (("", "s"), ("t", "")):
        with pytest.raises(ValueError):
            endspan.TraceContext(*ids)


def test_spans_without_a_context(tracer: endspan.Tracer) -> None:
    assert endspan.TraceContext.of(tracer.trace(None).span("no-op").start()) is None
    assert endspan.TraceContext.of(tracer.trace("t").span("not started")) is None

    async def task() -> endspan.TraceContext | None:
        return endspan.TraceContext.current()

    async def main() -> None:
        async with tracer.trace("t").span("s") as span:
            assert await asyncio.create_task(task()) == endspan.TraceContext("t", span.id)

    asyncio.run(main())
