"""Traces and spans: what ``start_span``, ``end_span`` and ``span`` do while the drop-in is installed."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .. import _native
from ._pipelines import copied, import_or_none, swallowed
from ._scopes import AsyncScope, FacadeScope, Scope

if TYPE_CHECKING:
    from ._installation import Installation

# What the methods of the known releases use. One that uses nothing else does what the fast path does, when no
# observability trace is active.
_KNOWN_START = frozenset(
    "trace_id ValueError datetime now UTC recursive_model_dump str uuid uuid4 obs_correlation _begin_obs Span "
    "_register_obs_handle id processors _run_on_span_start on_span_start _span_queue enqueue SpanEventType START "
    "model_copy Exception logger warning".split()
)
_KNOWN_END = frozenset(
    "end_time datetime now UTC close_obs_span _OBS_HANDLES pop id get_span_error input recursive_model_dump output "
    "data processors _run_on_span_end on_span_end _span_queue enqueue SpanEventType END model_copy Exception logger "
    "warning".split()
)


def _uses_only(method: Any, known: frozenset[str]) -> bool:
    code = getattr(method, "__code__", None)
    return code is not None and known.issuperset(code.co_names)


class Traces:
    """The patches of ``Trace`` and ``AsyncTrace``, and of the facade in front of them."""

    def __init__(self, installation: Installation) -> None:
        self._of = installation
        self._module = installation.trace
        self._models = _native.Models(installation.span_class)
        self._set_error = getattr(import_or_none("agentex.lib.core.tracing.span_error"), "set_span_error", None)
        # Live observability spans by the ids of spans, in releases that open any.
        self._handles: Any = getattr(installation.trace, "_OBS_HANDLES", ())

    def patch(self) -> None:
        module, patches = self._module, self._of.patches
        # Faster, and it never raises; results are the same where the reference has any.
        patches.set(module, "recursive_model_dump", _native.normalise)
        # Without validation: tracing does not refuse what a program passes.
        patches.set(module, "Span", self._models.make)
        for owner, make in ((module.Trace, self._sync_methods), (module.AsyncTrace, self._async_methods)):
            for name, method in zip(("start_span", "end_span", "span"), make(owner.start_span, owner.end_span)):
                method.__doc__ = getattr(getattr(owner, name), "__doc__", None)
                method.__name__ = name
                method.__qualname__ = f"{owner.__name__}.{name}"
                patches.set(owner, name, method)

    def patch_facade(self, facade: Any) -> None:
        """Patches ``adk.tracing``'s class, if the release has one."""
        if facade is None:
            return
        import functools

        traces = self
        original = facade.TracingModule.span

        @functools.wraps(original)
        def span(module: Any, *args: Any, **keywords: Any) -> Any:
            return FacadeScope(traces, functools.partial(original, module, *args, **keywords))

        self._of.patches.set(facade.TracingModule, "span", span)

    @staticmethod
    def _observed() -> bool:
        """Whether an observability trace may be active, so that a release may have something to do with it."""
        mode = os.environ.get("SGP_OBS_MODE")
        if mode and mode.strip().lower() != "dd_only":
            return True
        modules = sys.modules
        temporal = modules.get("temporalio.activity")
        if temporal is not None and temporal.in_activity():
            return True
        datadog = modules.get("ddtrace.trace")
        if datadog is not None and datadog.tracer.current_trace_context() is not None:
            return True
        otel = modules.get("opentelemetry.trace")
        return otel is not None and otel.get_current_span() is not otel.INVALID_SPAN

    @staticmethod
    def _quiet(trace: Any) -> Any:
        """The same trace without processors: what a release does around a span is done, and nothing is sent."""
        quiet = object.__new__(type(trace))
        quiet.__dict__.update(trace.__dict__)
        quiet.processors = ()
        return quiet

    def _plain_start(self, trace_id: Any, fields: tuple[Any, ...]) -> Any:
        """What is left of a start that raised: observability ids on data that is a list, for example."""
        swallowed("agentex-sdk could not start a span as it wanted")
        name, parent_id, input, data, task_id = fields
        try:
            return self._models.start(trace_id, name, parent_id, input, data, task_id)
        except Exception:
            # Payloads that have no truth value, such as arrays.
            span = self._models.start(trace_id, name, parent_id, None, None, task_id)
            span.input, span.data = _native.normalise(input), _native.normalise(data)
            return span

    def _plain_end(self, span: Any) -> None:
        swallowed("agentex-sdk could not end a span as it wanted")
        if span.end_time is None:
            span.end_time = datetime.now(timezone.utc)
        for name in ("input", "output", "data"):
            setattr(span, name, _native.normalise(getattr(span, name)))

    def _sync_methods(self, original_start: Any, original_end: Any) -> tuple[Any, Any, Any]:
        traces, models, handles = self, self._models, self._handles
        fast_start = _uses_only(original_start, _KNOWN_START)
        fast_end = _uses_only(original_end, _KNOWN_END)

        def start_span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            trace_id = trace.trace_id
            try:
                if fast_start and trace_id and not traces._observed():
                    span = models.start(trace_id, name, parent_id, input, data, task_id)
                else:
                    span = original_start(traces._quiet(trace), name, parent_id, input, data, task_id)
            except Exception:
                if not trace_id:
                    raise
                span = traces._plain_start(trace_id, (name, parent_id, input, data, task_id))
            traces._emit_sync(trace.processors, span, False)
            return span

        def end_span(trace, span):  # type: ignore[no-untyped-def]
            try:
                if fast_end and span.id not in handles:
                    models.end(span)
                else:
                    original_end(traces._quiet(trace), span)
            except Exception:
                traces._plain_end(span)
            traces._emit_sync(trace.processors, span, True)
            return span

        def span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            return Scope(traces, trace, (name, parent_id, input, data, task_id))

        return start_span, end_span, span

    def _async_methods(self, original_start: Any, original_end: Any) -> tuple[Any, Any, Any]:
        traces, models, handles = self, self._models, self._handles
        fast_start = _uses_only(original_start, _KNOWN_START)
        fast_end = _uses_only(original_end, _KNOWN_END)

        async def start_span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            trace_id = trace.trace_id
            try:
                if fast_start and trace_id and not traces._observed():
                    span = models.start(trace_id, name, parent_id, input, data, task_id)
                else:
                    span = await original_start(traces._quiet(trace), name, parent_id, input, data, task_id)
            except Exception:
                if not trace_id:
                    raise
                span = traces._plain_start(trace_id, (name, parent_id, input, data, task_id))
            traces._emit_async(trace, span, False)
            return span

        async def end_span(trace, span):  # type: ignore[no-untyped-def]
            try:
                if fast_end and span.id not in handles:
                    models.end(span)
                else:
                    await original_end(traces._quiet(trace), span)
            except Exception:
                traces._plain_end(span)
            traces._emit_async(trace, span, True)
            return span

        def span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            return AsyncScope(traces, trace, (name, parent_id, input, data, task_id))

        return start_span, end_span, span

    def _emit_sync(self, processors: Any, span: Any, ended: bool) -> None:
        if not processors:
            return
        try:
            tracer, others, _ = self._of.pipelines.split(processors)
            if tracer is not None:
                tracer.submit_model(span, ended)
        except Exception:
            swallowed("a span could not be handed over")
            return
        for processor in others:
            try:
                if ended:
                    processor.on_span_end(span)
                else:
                    processor.on_span_start(span)
            except Exception:
                swallowed(f"{type(processor).__name__} raised")

    def _emit_async(self, trace: Any, span: Any, ended: bool) -> None:
        processors = trace.processors
        if not processors:
            return
        try:
            queue = trace._span_queue
            if type(queue) is self._of.queue.AsyncSpanQueue:
                self._of.queues.enqueue(queue, ended, span, processors, snapshot=True)
            else:
                events = self._of.queue.SpanEventType
                queue.enqueue(events.END if ended else events.START, copied(span), processors)
        except Exception:
            swallowed("a span could not be handed over")

    def record(self, span: Any, error: BaseException) -> None:
        """Records what a body raised, once."""
        try:
            if isinstance(error, SystemExit) and not error.code:
                return
            if isinstance(span.data, dict) and "__error__" in span.data:
                return
            if self._set_error is not None:
                self._set_error(span, error)
                return
            if span.data is None:
                span.data = {}
            if isinstance(span.data, dict):
                span.data["__error__"] = {"type": type(error).__name__, "message": str(error)}
        except Exception:
            swallowed("an error could not be recorded")
