"""Real instrumentations, offline against scripted models: what they send is what comes back."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import capture
import pytest
import scripted_models
from conftest import Server
from expect import assert_span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from scenarios.programs import SCENARIOS


@pytest.fixture
def models() -> Iterator[scripted_models.Loopback]:
    server = scripted_models.models()
    yield server
    server.close()


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "@" not in name])
def test_every_span_comes_back_whole(server: Server, models: scripted_models.Loopback, name: str) -> None:
    body = capture.capture(name, models)
    headers = {"content-type": "application/x-protobuf"}
    request = urllib.request.Request(f"{server.url}/v1/traces", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b""), "everything is stored"
    count = 0
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            scope = (scope_spans.scope.name, scope_spans.scope.version)
            for span in scope_spans.spans:
                read = server.span(span.trace_id.hex(), span.span_id.hex())
                assert_span(span, resource_spans.resource, scope, read)
                count += 1
    assert count > 0


@pytest.mark.parametrize("name", ["openinference-openai", "openllmetry-anthropic", "pydantic-ai"])
def test_they_export_straight_to_endspan(server: Server, models: scripted_models.Loopback, name: str) -> None:
    before = {trace["trace_id"] for trace in server.get("/api/traces?limit=1000")["traces"]}
    capture.run_scenario(name, models.url, server.url)
    after = [trace for trace in server.get("/api/traces?limit=1000")["traces"] if trace["trace_id"] not in before]
    assert after, "traces arrived"
    types = set()
    for one in after:
        types |= {span["type"] for span in server.get(f"/api/traces/{one['trace_id']}")["spans"]}
    assert "COMPLETION" in types, "model calls show as what they are"
