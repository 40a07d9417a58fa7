"""OpenTelemetry spans through endspan's pipeline.

    provider.add_span_processor(endspan.opentelemetry.EndspanSpanProcessor(tracer))

:class:`EndspanSpanProcessor` hands each span over when it ends, without a queue of its own; :class:`EndspanSpanExporter`
is for programs that want one of OpenTelemetry's processors in between.

What becomes of a span: trace and span id as their hexadecimal text; input and output from the keys below; everything
else of its attributes, and events, links, resource and scope, into the data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from ._tracer import Tracer

__all__ = ["EndspanSpanExporter", "EndspanSpanProcessor"]

# The first key that is there is taken: the GenAI conventions, OpenInference, OpenLLMetry, MLflow.
_INPUT = (
    "gen_ai.input.messages",
    "gen_ai.tool.call.arguments",
    "input.value",
    "traceloop.entity.input",
    "mlflow.spanInputs",
    "gen_ai.prompt",
)
_OUTPUT = (
    "gen_ai.output.messages",
    "gen_ai.tool.call.result",
    "output.value",
    "traceloop.entity.output",
    "mlflow.spanOutputs",
    "gen_ai.completion",
)
_TYPES = {
    "chat": "COMPLETION",
    "text_completion": "COMPLETION",
    "generate_content": "COMPLETION",
    "embeddings": "CUSTOM",
    "execute_tool": "CODE_EXECUTION",
    "invoke_agent": "AGENT_WORKFLOW",
    "create_agent": "AGENT_WORKFLOW",
    "retrieval": "KB_RETRIEVAL",
}


def _payload(attributes: dict[str, Any], keys: Sequence[str]) -> Any:
    for key in keys:
        if key in attributes:
            value = attributes.pop(key)
            if isinstance(value, str) and value[:1] in ("{", "["):
                try:
                    return json.loads(value)
                except ValueError:
                    return value
            return value
    return None


def _submit(tracer: Tracer, span: ReadableSpan) -> None:
    context = span.get_span_context()
    if context is None:
        return
    attributes = dict(span.attributes or {})
    given, gave = _payload(attributes, _INPUT), _payload(attributes, _OUTPUT)
    data: dict[str, Any] = attributes
    if span.status.status_code is StatusCode.ERROR:
        kind, message = "Error", span.status.description or ""
        for event in span.events:
            if event.name == "exception":
                recorded = dict(event.attributes or {})
                kind = str(recorded.get("exception.type", kind)).rsplit(".", 1)[-1]
                message = str(recorded.get("exception.message", message))
        data["__error__"] = {"type": kind, "message": message}
    span_type = _TYPES.get(str(attributes.get("gen_ai.operation.name")))
    if span_type is not None:
        data.setdefault("__span_type__", span_type)
    if span.events:
        data["events"] = [
            {"name": event.name, "time_unix_nano": event.timestamp, "attributes": dict(event.attributes or {})}
            for event in span.events
        ]
    if span.links:
        data["links"] = [
            {"trace_id": format_trace_id(link.context.trace_id), "span_id": format_span_id(link.context.span_id)}
            for link in span.links
        ]
    if span.resource.attributes:
        data["resource"] = dict(span.resource.attributes)
    if span.instrumentation_scope is not None:
        data["scope"] = span.instrumentation_scope.name
    tracer.submit(
        id=format_span_id(context.span_id),
        trace_id=format_trace_id(context.trace_id),
        name=span.name,
        start_time=(span.start_time or 0) / 1e9,
        end_time=(span.end_time or span.start_time or 0) / 1e9,
        parent_id=format_span_id(span.parent.span_id) if span.parent is not None else None,
        input=given,
        output=gave,
        data=data,
        status="ERROR" if span.status.status_code is StatusCode.ERROR else "SUCCESS",
        span_type=span_type,
    )


class EndspanSpanExporter(SpanExporter):
    """Exports spans of OpenTelemetry to the destinations of an :class:`endspan.Tracer`."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer if tracer is not None else Tracer(observe=None)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hands spans over. From here on they are endspan's, which accounts for them."""
        for span in spans:
            _submit(self._tracer, span)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Delivers what ended until now."""
        return self._tracer.flush(timeout_millis / 1000).pending == 0

    def shutdown(self) -> None:
        """Delivers what is there, and ends."""
        self._tracer.shutdown()


class EndspanSpanProcessor(SpanProcessor):
    """Hands each span over when it ends. Sampled spans only."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer if tracer is not None else Tracer(observe=None)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Does nothing: a span is written once, at its end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Hands a span over."""
        context = span.get_span_context()
        if context is not None and context.trace_flags.sampled:
            _submit(self._tracer, span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Delivers what ended until now."""
        return self._tracer.flush(timeout_millis / 1000).pending == 0

    def shutdown(self) -> None:
        """Delivers what is there, and ends."""
        self._tracer.shutdown()
