"""Spans of AI agents, off the hot path and accounted for.

Write each span once, at its end. Never slow the agent. Never lose a span without saying so.

    import endspan

    tracer = endspan.Tracer(exporters=[endspan.SGPExporter()])
    trace = tracer.trace("conversation-17")
    with trace.span("answer", input={"question": "why?"}) as span:
        span.output = {"answer": "because"}
    print(tracer.shutdown())

A span's payloads are encoded once, when it ends, as they are then. Everything after that happens outside Python: queue,
crash spool, batches, retries, delivery. For an Agentex agent see ``endspan.agentex``.
"""

from __future__ import annotations

from ._native import (
    UNENCODABLE,
    AgentexExporter,
    Exporter,
    OTLPExporter,
    SGPExporter,
    Span,
    Trace,
    TraceContext,
    __version__,
    current_span,
    encode_json,
)
from ._report import Account, DestinationStats, Report, Stats
from ._tracer import Tracer, span, traced
from .threads import carry

__all__ = [
    "UNENCODABLE",
    "Account",
    "AgentexExporter",
    "DestinationStats",
    "Exporter",
    "OTLPExporter",
    "Report",
    "SGPExporter",
    "Span",
    "Stats",
    "Trace",
    "TraceContext",
    "Tracer",
    "__version__",
    "carry",
    "current_span",
    "encode_json",
    "span",
    "traced",
]
