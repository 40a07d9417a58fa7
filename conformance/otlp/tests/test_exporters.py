"""OpenTelemetry's own exporters: everything that a span can hold arrives, over every protocol and compression."""

from __future__ import annotations

import pytest
from conftest import Server
from expect import assert_span
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode


def spans() -> list[ReadableSpan]:
    """Returns spans that use everything the API offers."""
    memory = InMemorySpanExporter()
    resource = Resource({"service.name": "conformance", "list": ["a", "b"], "size": 3, "ratio": 0.5, "yes": True})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("conformance.scope", "1.2.3", attributes={"scope.attribute": 1})
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER) as root:
        root.set_attribute("text", 'with "quotes", Umläute, 日本語 and\nlines')
        root.set_attribute("json", '{"a": [1, 2.50, {"b": null}]}')
        root.set_attribute("large", 2**62)
        root.set_attribute("negative", -1)
        root.set_attribute("whole", 1.0)
        root.set_attribute("tiny", 5e-324)
        root.set_attribute("flags", [True, False])
        root.set_attribute("empty", "")
        root.add_event("happened", {"what": "this", "times": 2}, timestamp=1_700_000_000_000_000_001)
        with tracer.start_as_current_span("child", links=[Link(root.get_span_context(), {"why": "so"})]) as child:
            child.set_status(Status(StatusCode.OK))
        try:
            with tracer.start_as_current_span("failing", kind=SpanKind.CLIENT):
                raise ValueError("boom")
        except ValueError:
            pass
    other = provider.get_tracer("other.scope")
    other.start_span("apart", kind=SpanKind.PRODUCER).end()
    return list(memory.get_finished_spans())


EXPORTERS = {
    "http": lambda server: HttpExporter(endpoint=f"{server.url}/v1/traces"),
    "http-gzip": lambda server: HttpExporter(endpoint=f"{server.url}/v1/traces", compression=Compression.Gzip),
    "grpc": lambda server: GrpcExporter(endpoint=f"http://{server.grpc}", insecure=True),
    "grpc-gzip": lambda server: GrpcExporter(
        endpoint=f"http://{server.grpc}", insecure=True, compression=__import__("grpc").Compression.Gzip
    ),
}


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_span_comes_back_whole(server: Server, name: str) -> None:
    sent = spans()
    exporter = EXPORTERS[name](server)
    assert exporter.export(sent) is SpanExportResult.SUCCESS
    exporter.shutdown()
    request = encode_spans(sent)
    count = 0
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            scope = (scope_spans.scope.name, scope_spans.scope.version)
            for span in scope_spans.spans:
                read = server.span(span.trace_id.hex(), span.span_id.hex())
                assert_span(span, resource_spans.resource, scope, read)
                count += 1
    assert count == len(sent) == 4


def test_a_request_larger_than_the_limit_is_not_tried_for_ever(server: Server) -> None:
    provider = TracerProvider()
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("large").start_as_current_span("large") as span:
        span.set_attribute("text", "x" * (65 * 1024 * 1024))
    exporter = HttpExporter(endpoint=f"{server.url}/v1/traces", timeout=10)
    assert exporter.export(memory.get_finished_spans()) is SpanExportResult.FAILURE


def test_the_account_travels_as_header_and_as_metadata(server: Server) -> None:
    headers = {"x-selected-account-id": "acct-otlp"}
    for exporter in (
        HttpExporter(endpoint=f"{server.url}/v1/traces", headers=headers),
        GrpcExporter(endpoint=f"http://{server.grpc}", insecure=True, headers=headers),
    ):
        sent = spans()
        assert exporter.export(sent) is SpanExportResult.SUCCESS
        trace_id = trace.format_trace_id(sent[0].context.trace_id)
        read = server.span(trace_id, trace.format_span_id(sent[0].context.span_id))
        assert read["account"] == "acct-otlp"


@pytest.mark.parametrize("form", ["x-api-key", "authorization"])
def test_a_key_travels_as_header_and_as_metadata(keyed_server: Server, form: str) -> None:
    secret = keyed_server.secret or ""
    headers = {form: f"Bearer {secret}" if form == "authorization" else secret}
    http, grpc = f"{keyed_server.url}/v1/traces", f"http://{keyed_server.grpc}"
    for exporter in (
        HttpExporter(endpoint=http, headers=headers),
        GrpcExporter(endpoint=grpc, insecure=True, headers=headers),
    ):
        sent = spans()
        assert exporter.export(sent) is SpanExportResult.SUCCESS
        exporter.shutdown()
        for span in sent:
            ids = (trace.format_trace_id(span.context.trace_id), trace.format_span_id(span.context.span_id))
            assert keyed_server.span(*ids)["account"] == "team"


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "esk_wrong"}, {"authorization": "Bearer esk_wrong"}])
def test_without_a_valid_key_nothing_is_taken(keyed_server: Server, headers: dict[str, str]) -> None:
    before = keyed_server.get("/api/traces?limit=1000")["traces"]
    for exporter in (
        HttpExporter(endpoint=f"{keyed_server.url}/v1/traces", headers=headers, timeout=5),
        GrpcExporter(endpoint=f"http://{keyed_server.grpc}", insecure=True, headers=headers, timeout=5),
    ):
        assert exporter.export(spans()) is SpanExportResult.FAILURE
        exporter.shutdown()
    assert keyed_server.get("/api/traces?limit=1000")["traces"] == before
