"""The ids of the observability trace that a span starts in.

``SGP_OBS_MODE``: ``dd_only`` (default) reads ddtrace, ``lgtm`` OpenTelemetry, ``dual`` OpenTelemetry and then ddtrace. Ids
are never invented.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable


def _opentelemetry() -> tuple[str, str] | None:
    module = sys.modules.get("opentelemetry.trace")
    if module is None:
        return None
    context = module.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


def _ddtrace() -> tuple[str, str] | None:
    module = sys.modules.get("ddtrace.trace")
    if module is None:
        return None
    context = module.tracer.current_trace_context()
    if not context or not context.trace_id:
        return None
    return format(context.trace_id, "032x"), format(context.span_id or 0, "016x")


def _dual() -> tuple[str, str] | None:
    return _opentelemetry() or _ddtrace()


def _installed(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def reader() -> Callable[[], tuple[str, str] | None] | None:
    """Returns what reads the ids, or ``None`` if there is nothing that could have any."""
    mode = os.environ.get("SGP_OBS_MODE", "").strip().lower()
    if mode == "lgtm":
        return _opentelemetry if _installed("opentelemetry") else None
    if mode == "dual":
        return _dual if _installed("opentelemetry") or _installed("ddtrace") else None
    return _ddtrace if _installed("ddtrace") else None
