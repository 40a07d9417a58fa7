"""The ids of the observability trace that a span starts in.

``SGP_OBS_MODE``: ``dd_only`` (default) reads ddtrace, ``lgtm`` OpenTelemetry, ``dual`` OpenTelemetry and then ddtrace. Ids
are never invented.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable

_OPENTELEMETRY = "opentelemetry.trace"
_DDTRACE = "ddtrace.trace"


def _opentelemetry() -> tuple[str, str] | None:
    module = sys.modules.get(_OPENTELEMETRY)
    if module is None:
        return None
    context = module.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


def _ddtrace() -> tuple[str, str] | None:
    module = sys.modules.get(_DDTRACE)
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


# The libraries' modules without which there is nothing to read, and what reads.
Reader = tuple[tuple[str, ...], Callable[[], "tuple[str, str] | None"]]


def reader() -> Reader | None:
    """Returns what reads the ids, or ``None`` if there is nothing that could have any."""
    mode = os.environ.get("SGP_OBS_MODE", "").strip().lower()
    if mode == "lgtm":
        return ((_OPENTELEMETRY,), _opentelemetry) if _installed("opentelemetry") else None
    if mode == "dual":
        both = _installed("opentelemetry") or _installed("ddtrace")
        return ((_OPENTELEMETRY, _DDTRACE), _dual) if both else None
    return ((_DDTRACE,), _ddtrace) if _installed("ddtrace") else None
