"""The tracing library inside the SGP client: init, traces, spans, flush."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from conftest import ACCOUNT, Server
from expect import ODD_PAYLOADS, assert_same
from scale_gp_beta import SGPClient
from scale_gp_beta.lib import tracing


@pytest.fixture
def client(server: Server):
    with SGPClient(api_key="key", account_id=ACCOUNT, base_url=server.url) as client:
        tracing.init(client, disabled=False)
        yield client


def assert_stored(client: SGPClient, span: object) -> None:
    stored = client.spans.retrieve(span.span_id)
    assert stored.account_id == ACCOUNT
    for field, expected in {
        "id": span.span_id,
        "trace_id": span.trace_id,
        "parent_id": span.parent_span_id,
        "group_id": span.group_id,
        "name": span.name,
        "status": span.status,
        "type": span.span_type,
        "input": span.input,
        "output": span.output,
        "metadata": span.metadata,
        "start_timestamp": datetime.fromisoformat(span.start_time),
        "end_timestamp": datetime.fromisoformat(span.end_time),
    }.items():
        assert_same(expected, getattr(stored, field), field)


def test_a_trace_with_nested_spans_is_stored_equal(client, server, trace_id):
    spans = []
    with tracing.create_trace("agent run", trace_id=trace_id, group_id="conversation-3", input={"ask": "x"}) as trace:
        spans.append(tracing.current_span())
        with tracing.create_span("model", span_type="COMPLETION", input={"prompt": "x"}) as model:
            model.output = {"text": "y"}
            spans.append(model)
            with tracing.create_span("tool", span_type="CODE_EXECUTION", metadata={"attempt": 1}) as tool:
                spans.append(tool)
        trace.output = {"answer": "y"}
    tracing.flush_queue()
    for span in spans:
        assert_stored(client, span)
    assert [span.parent_span_id for span in spans] == [None, spans[0].span_id, spans[1].span_id]
    stored = server.get(f"/api/traces/{trace_id}")
    assert sorted(span["id"] for span in stored["spans"]) == sorted(span.span_id for span in spans)


def test_an_exception_is_stored_as_error(client, trace_id):
    with pytest.raises(ValueError, match="boom"):
        with tracing.create_span("fails", trace_id=trace_id) as span:
            raise ValueError("boom")
    tracing.flush_queue()
    assert span.status == "ERROR"
    assert span.metadata["error_message"] == "boom"
    assert_stored(client, span)


def test_odd_payloads_and_a_blocking_flush(client, trace_id):
    for payload in ODD_PAYLOADS.values():
        span = tracing.create_span("odd", trace_id=trace_id, input=payload, output=payload, metadata={"in": payload})
        span.start()
        span.end()
        span.flush(blocking=True)
        assert_stored(client, span)
    tracing.flush_queue()


def test_more_spans_than_one_batch(client, server, trace_id):
    spans = []
    with tracing.create_trace("many", trace_id=trace_id):
        for index in range(230):
            with tracing.create_span(f"s{index}", input={"index": index}) as span:
                spans.append(span)
    tracing.flush_queue()
    # The library's own thread may hold batches that the flush then knows nothing of.
    end = time.monotonic() + 60
    while len((stored := server.get(f"/api/traces/{trace_id}"))["spans"]) < 231 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(stored["spans"]) == 231
    for span in spans[::23]:
        assert_stored(client, span)


def test_without_a_trace_nothing_is_sent(client):
    with tracing.create_span("orphan") as span:
        assert isinstance(span, tracing.span.NoOpSpan)
