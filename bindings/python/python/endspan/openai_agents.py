"""Traces of the OpenAI Agents SDK through endspan's pipeline.

    agents.set_trace_processors([endspan.openai_agents.EndspanTraceProcessor(tracer)])

A trace becomes a root span of its name; its spans hang below.
"""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

from agents.tracing import Span, Trace, TracingProcessor

from ._tracer import Tracer

__all__ = ["EndspanTraceProcessor"]

_TYPES = {
    "generation": "COMPLETION",
    "response": "COMPLETION",
    "transcription": "COMPLETION",
    "speech": "COMPLETION",
    "function": "CODE_EXECUTION",
    "mcp_tools": "CODE_EXECUTION",
    "agent": "AGENT_WORKFLOW",
    "guardrail": "GUARDRAIL",
}


def _time(text: str | None) -> Any:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


class EndspanTraceProcessor(TracingProcessor):
    """Hands traces and spans of the OpenAI Agents SDK to the destinations of an :class:`endspan.Tracer`."""

    def __init__(self, tracer: Tracer | None = None) -> None:
        self._tracer = tracer if tracer is not None else Tracer(observe=None)
        self._lock = threading.Lock()
        # Traces under way, and when they began.
        self._begun: dict[str, datetime] = {}

    def on_trace_start(self, trace: Trace) -> None:
        """Remembers when a trace began."""
        begun = datetime.now(timezone.utc)
        with self._lock:
            self._begun[trace.trace_id] = begun
        self._submit_trace(trace, begun, None)

    def on_trace_end(self, trace: Trace) -> None:
        """Hands over the trace as a root span."""
        ended = datetime.now(timezone.utc)
        with self._lock:
            begun = self._begun.pop(trace.trace_id, ended)
        self._submit_trace(trace, begun, ended)

    def _submit_trace(self, trace: Trace, begun: datetime, ended: datetime | None) -> None:
        exported = trace.export() or {}
        self._tracer.submit(
            id=trace.trace_id,
            trace_id=trace.trace_id,
            name=trace.name,
            start_time=begun,
            end_time=ended,
            data={"__span_type__": "AGENT_WORKFLOW", **(exported.get("metadata") or {})},
            group_id=exported.get("group_id"),
            span_type="AGENT_WORKFLOW",
        )

    def on_span_start(self, span: Span[Any]) -> None:
        """Hands over the start, for the case that this process dies before the span ends."""
        self._submit(span, ended=False)

    def on_span_end(self, span: Span[Any]) -> None:
        """Hands over a span."""
        self._submit(span, ended=True)

    def _submit(self, span: Span[Any], ended: bool) -> None:
        data = span.span_data.export() or {}
        kind = str(data.pop("type", "custom"))
        given, gave = data.pop("input", None), data.pop("output", None)
        # Responses keep their texts out of what they export.
        if given is None:
            given = getattr(span.span_data, "input", None)
        if gave is None:
            gave = getattr(span.span_data, "output", None) or getattr(span.span_data, "response", None)
        custom = data.pop("data", None)
        rest: dict[str, Any] = {"__span_type__": _TYPES.get(kind, "CUSTOM"), "kind": kind, **data}
        if isinstance(custom, dict):
            rest.update(custom)
        if span.error:
            message = str(span.error.get("message", ""))
            rest["__error__"] = {"type": "Error", "message": message}
            rest["error_data"] = span.error.get("data")
        started = _time(span.started_at) or datetime.now(timezone.utc)
        self._tracer.submit(
            id=span.span_id,
            trace_id=span.trace_id,
            name=str(rest.pop("name", None) or kind),
            start_time=started,
            end_time=(_time(span.ended_at) or datetime.now(timezone.utc)) if ended else None,
            parent_id=span.parent_id or span.trace_id,
            input=given,
            output=gave,
            data=rest,
            span_type=rest["__span_type__"],
        )

    def force_flush(self) -> None:
        """Delivers what ended until now."""
        self._tracer.flush()

    def shutdown(self) -> None:
        """Delivers what is there, and ends."""
        self._tracer.shutdown()
