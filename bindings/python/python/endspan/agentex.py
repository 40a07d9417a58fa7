"""Puts endspan's pipeline in the place of agentex-sdk's own.

    import endspan.agentex
    endspan.agentex.install()          # before or after processors are registered

Tracers, traces, spans, processors, their registry and configs, the span queue and the ``adk`` facade keep their names,
signatures and observable behaviour. The SGP and the Agentex processor deliver through endspan: one encoding on the
caller's thread, no event loop, a crash spool, an account. User-defined processors are called as before.
``uninstall()`` puts everything back.

Written for agentex-sdk 0.12 to 0.28; what a release adds around spans (for example observability spans) stays its own.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import threading
import weakref
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncContextDecorator, ContextDecorator
from datetime import datetime, timezone
from typing import Any

from . import _native
from ._report import Stats
from ._tracer import Tracer

__all__ = ["install", "installed", "stats", "tracers", "uninstall"]

_log = logging.getLogger("endspan")
_MISSING = object()
_state: _Installation | None = None
_state_lock = threading.RLock()


def install(**settings: Any) -> None:
    """Installs the drop-in. A second call does nothing.

    Args:
        settings: Settings of :class:`endspan.Tracer`, for example ``spool_dir``. What is not given comes from the
            environment, the reference's own variables (``AGENTEX_SPAN_QUEUE_*``, ``AGENTEX_TRACING_SKIP_*``) included.
    """
    global _state
    with _state_lock:
        if _state is None:
            state = _Installation(settings)
            state.install()
            _state = state


def uninstall(timeout: float = 30.0) -> None:
    """Puts everything back, and delivers what is there."""
    global _state
    with _state_lock:
        state, _state = _state, None
    if state is not None:
        state.uninstall(timeout)


def installed() -> bool:
    """Whether the drop-in is installed."""
    return _state is not None


def tracers() -> list[Tracer]:
    """The pipelines in use: one for each set of processors that traces were made with."""
    return [] if _state is None else _state.pipelines.tracers()


def stats() -> list[Stats]:
    """How they are doing."""
    return [tracer.stats() for tracer in tracers()]


class _Patches:
    """Attributes that were replaced, and what they were."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        before = vars(owner).get(name, _MISSING)
        self._before.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        for owner, name, before in reversed(self._before):
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._before.clear()


class _Pipelines:
    """The tracers behind sets of processors."""

    def __init__(self, settings: dict[str, Any], types: dict[type, str], sgp_config: Any) -> None:
        self._settings = settings
        self._types = types
        self._sgp_config = sgp_config
        self._lock = threading.Lock()
        # By the identities of processors, which are held so that the identities stay theirs.
        self._splits: dict[tuple[int, ...], tuple[Tracer | None, list[Any], list[Any]]] = {}
        self._tracers: dict[tuple[Any, ...], Tracer] = {}

    def split(self, processors: Any) -> tuple[Tracer | None, list[Any], list[Any]]:
        """Returns the pipeline of the known processors, the other processors, and all of them."""
        key = tuple(map(id, processors))
        found = self._splits.get(key)
        return found if found is not None else self._new_split(key, list(processors))

    def _new_split(self, key: tuple[int, ...], processors: list[Any]) -> tuple[Tracer | None, list[Any], list[Any]]:
        with self._lock:
            kinds: list[tuple[Any, ...]] = []
            others = []
            for processor in processors:
                kind = self._types.get(type(processor))
                if kind is None:
                    others.append(processor)
                elif kind == "sgp":
                    config = self._sgp_config(processor)
                    destination = (
                        "sgp",
                        getattr(config, "sgp_api_key", None),
                        getattr(config, "sgp_account_id", None),
                        getattr(config, "sgp_base_url", None),
                    )
                    if destination not in kinds:
                        kinds.append(destination)
                elif ("agentex",) not in kinds:
                    kinds.append(("agentex",))
            tracer = None
            if kinds:
                tracer = self._tracers.get(tuple(kinds))
                if tracer is None:
                    # Observability ids are agentex-sdk's own business here.
                    tracer = Tracer([_exporter(kind) for kind in kinds], observe=None, **self._settings)
                    self._tracers[tuple(kinds)] = tracer
            found = (tracer, others, processors)
            if len(self._splits) > 256:
                self._splits.clear()
            self._splits[key] = found
            return found

    def tracers(self) -> list[Tracer]:
        with self._lock:
            return list(self._tracers.values())


def _exporter(kind: tuple[Any, ...]) -> _native.Exporter:
    if kind[0] == "agentex":
        return _native.AgentexExporter()
    return _native.SGPExporter(*kind[1:])


def _submit(tracer: Tracer, span: Any, ended: bool) -> None:
    """Hands a span over; it is encoded before this returns."""
    tracer.submit(
        id=span.id,
        trace_id=span.trace_id,
        name=span.name,
        start_time=span.start_time,
        end_time=(span.end_time or datetime.now(timezone.utc)) if ended else None,
        parent_id=span.parent_id,
        input=span.input,
        output=span.output,
        data=span.data,
        task_id=getattr(span, "task_id", None),
    )


def _copied(span: Any) -> Any:
    """A deep copy for processors of the program, or as much of one as can be had."""
    try:
        return span.model_copy(deep=True)
    except Exception:
        copy = span.model_copy()
        for name in ("input", "output", "data"):
            setattr(copy, name, _native.normalise(getattr(copy, name)))
        return copy


def _swallowed(what: str) -> None:
    _log.warning("%s; the program goes on", what, exc_info=True)


def _keywords(names: tuple[str, ...], given: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, given)), **keywords}


_START = ("name", "parent_id", "input", "data", "task_id")


class _Installation:
    """One installation: what was replaced by what."""

    def __init__(self, settings: dict[str, Any]) -> None:
        core = "agentex.lib.core.tracing"
        self.trace = importlib.import_module(f"{core}.trace")
        self.queue = importlib.import_module(f"{core}.span_queue")
        self.manager = importlib.import_module(f"{core}.tracing_processor_manager")
        self.sgp = importlib.import_module(f"{core}.processors.sgp_tracing_processor")
        self.agentex = importlib.import_module(f"{core}.processors.agentex_tracing_processor")
        self.facade = _import_or_none("agentex.lib.adk._modules.tracing")
        self.span_class = importlib.import_module("agentex.types.span").Span
        error = _import_or_none(f"{core}.span_error")
        self._set_error = getattr(error, "set_span_error", None)
        self.patches = _Patches()
        self.pipelines = _Pipelines(
            settings,
            {
                self.sgp.SGPSyncTracingProcessor: "sgp",
                self.sgp.SGPAsyncTracingProcessor: "sgp",
                self.agentex.AgentexSyncTracingProcessor: "agentex",
                self.agentex.AgentexAsyncTracingProcessor: "agentex",
            },
            self._sgp_config,
        )
        # For each queue, the queues that stand for it on further event loops.
        self.inner: weakref.WeakKeyDictionary[Any, dict[int, tuple[Any, Any]]] = weakref.WeakKeyDictionary()
        self.first_loop: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.lock_before: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_lock = threading.Lock()

    def install(self) -> None:
        self._patch_traces()
        self._patch_processors()
        self._patch_queue()
        self._patch_manager()
        self._patch_facade()

    def uninstall(self, timeout: float) -> None:
        self.patches.undo()
        manager = self.manager.GLOBAL_TRACING_PROCESSOR_MANAGER
        manager.lock = self.lock_before
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        for tracer in self.pipelines.tracers():
            tracer.shutdown(timeout)

    # Traces.

    def _patch_traces(self) -> None:
        trace = self.trace
        # Faster, and it never raises; results are the same where the reference has any.
        self.patches.set(trace, "recursive_model_dump", _native.normalise)
        self.patches.set(trace, "Span", self._make_span)
        for owner, asynchronous in ((trace.Trace, False), (trace.AsyncTrace, True)):
            original_start, original_end = owner.start_span, owner.end_span
            if asynchronous:
                start, end, scope = self._async_methods(original_start, original_end)
            else:
                start, end, scope = self._sync_methods(original_start, original_end)
            for name, method in (("start_span", start), ("end_span", end), ("span", scope)):
                method.__doc__ = getattr(getattr(owner, name), "__doc__", None)
                method.__name__ = name
                method.__qualname__ = f"{owner.__name__}.{name}"
                self.patches.set(owner, name, method)

    def _make_span(self, **fields: Any) -> Any:
        """Makes a span without validation: tracing does not refuse what a program passes."""
        span = object.__new__(self.span_class)
        values = {
            "id": fields.pop("id"),
            "name": fields.pop("name"),
            "start_time": fields.pop("start_time"),
            "trace_id": fields.pop("trace_id"),
            "data": fields.pop("data", None),
            "end_time": fields.pop("end_time", None),
            "input": fields.pop("input", None),
            "output": fields.pop("output", None),
            "parent_id": fields.pop("parent_id", None),
            "task_id": fields.pop("task_id", None),
        }
        set_attribute = object.__setattr__
        set_attribute(span, "__dict__", values)
        set_attribute(span, "__pydantic_fields_set__", set(values) - {"end_time", "output"})
        set_attribute(span, "__pydantic_extra__", fields)
        set_attribute(span, "__pydantic_private__", None)
        return span

    @staticmethod
    def _quiet(trace: Any) -> Any:
        """The same trace without processors: what a release does around a span is done, and nothing is sent."""
        quiet = object.__new__(type(trace))
        quiet.__dict__.update(trace.__dict__)
        quiet.processors = ()
        return quiet

    def _plain_start(self, trace: Any, fields: dict[str, Any]) -> Any:
        """What is left of a start that raised: observability ids on data that is a list, for example."""
        import uuid

        return self._make_span(
            id=str(uuid.uuid4()),
            trace_id=trace.trace_id,
            name=fields["name"],
            parent_id=fields.get("parent_id"),
            start_time=datetime.now(timezone.utc),
            input=_native.normalise(fields.get("input")) or None,
            data=_native.normalise(fields.get("data")) or None,
            task_id=fields.get("task_id"),
        )

    @staticmethod
    def _plain_end(span: Any) -> None:
        if span.end_time is None:
            span.end_time = datetime.now(timezone.utc)
        for name in ("input", "output", "data"):
            setattr(span, name, _native.normalise(getattr(span, name)) or None)

    def _sync_methods(self, original_start: Any, original_end: Any) -> tuple[Any, Any, Any]:
        installation = self

        def start_span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            try:
                span = original_start(installation._quiet(trace), name, parent_id, input, data, task_id)
            except Exception:
                if not trace.trace_id:
                    raise
                _swallowed("agentex-sdk could not start a span as it wanted")
                fields = dict(name=name, parent_id=parent_id, input=input, data=data, task_id=task_id)
                span = installation._plain_start(trace, fields)
            installation._emit_sync(trace.processors, span, False)
            return span

        def end_span(trace, span):  # type: ignore[no-untyped-def]
            try:
                original_end(installation._quiet(trace), span)
            except Exception:
                _swallowed("agentex-sdk could not end a span as it wanted")
                installation._plain_end(span)
            installation._emit_sync(trace.processors, span, True)
            return span

        def span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            return _Scope(installation, trace, (name, parent_id, input, data, task_id))

        return start_span, end_span, span

    def _async_methods(self, original_start: Any, original_end: Any) -> tuple[Any, Any, Any]:
        installation = self

        async def start_span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            try:
                span = await original_start(installation._quiet(trace), name, parent_id, input, data, task_id)
            except Exception:
                if not trace.trace_id:
                    raise
                _swallowed("agentex-sdk could not start a span as it wanted")
                fields = dict(name=name, parent_id=parent_id, input=input, data=data, task_id=task_id)
                span = installation._plain_start(trace, fields)
            installation._emit_async(trace, span, False)
            return span

        async def end_span(trace, span):  # type: ignore[no-untyped-def]
            try:
                await original_end(installation._quiet(trace), span)
            except Exception:
                _swallowed("agentex-sdk could not end a span as it wanted")
                installation._plain_end(span)
            installation._emit_async(trace, span, True)
            return span

        def span(trace, name, parent_id=None, input=None, data=None, task_id=None):  # type: ignore[no-untyped-def]
            return _AsyncScope(installation, trace, (name, parent_id, input, data, task_id))

        return start_span, end_span, span

    def _emit_sync(self, processors: Any, span: Any, ended: bool) -> None:
        if not processors:
            return
        try:
            tracer, others, _ = self.pipelines.split(processors)
            if tracer is not None:
                _submit(tracer, span, ended)
        except Exception:
            _swallowed("a span could not be handed over")
            return
        for processor in others:
            try:
                if ended:
                    processor.on_span_end(span)
                else:
                    processor.on_span_start(span)
            except Exception:
                _swallowed(f"{type(processor).__name__} raised")

    def _emit_async(self, trace: Any, span: Any, ended: bool) -> None:
        processors = trace.processors
        if not processors:
            return
        try:
            queue = trace._span_queue
            event = self.queue.SpanEventType.END if ended else self.queue.SpanEventType.START
            if type(queue) is self.queue.AsyncSpanQueue:
                self.enqueue(queue, event, span, processors, snapshot=True)
            else:
                queue.enqueue(event, _copied(span), processors)
        except Exception:
            _swallowed("a span could not be handed over")

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
            _swallowed("an error could not be recorded")

    # Processors.

    def _sgp_config(self, processor: Any) -> Any:
        config = getattr(processor, "_config", None)
        if config is not None:
            return config
        # A synchronous processor of before the installation did not keep its config; its twin did.
        manager = self.manager.GLOBAL_TRACING_PROCESSOR_MANAGER
        for sync, asynchronous in zip(manager.sync_processors, manager.async_processors):
            if sync is processor:
                return getattr(asynchronous, "_config", None)
        return None

    def _patch_processors(self) -> None:
        installation = self

        def one(ended: bool) -> Any:
            def on_span(processor: Any, span: Any) -> None:
                installation._direct(processor, [span], ended)

            return on_span

        def one_async(ended: bool) -> Any:
            async def on_span(processor: Any, span: Any) -> None:
                installation._direct(processor, [span], ended)

            return on_span

        def many_async(ended: bool) -> Any:
            async def on_spans(processor: Any, spans: list[Any]) -> None:
                installation._direct(processor, spans, ended)

            return on_spans

        def shutdown(processor: Any) -> None:
            tracer = installation._pipeline_of(processor)
            if tracer is not None:
                tracer.flush()

        async def shutdown_async(processor: Any) -> None:
            tracer = installation._pipeline_of(processor)
            if tracer is not None:
                await tracer.flush_async()

        for module, sync, asynchronous in (
            (self.sgp, "SGPSyncTracingProcessor", "SGPAsyncTracingProcessor"),
            (self.agentex, "AgentexSyncTracingProcessor", "AgentexAsyncTracingProcessor"),
        ):
            sync_class, async_class = getattr(module, sync), getattr(module, asynchronous)
            self.patches.set(sync_class, "on_span_start", one(False))
            self.patches.set(sync_class, "on_span_end", one(True))
            self.patches.set(sync_class, "shutdown", shutdown)
            self.patches.set(async_class, "on_span_start", one_async(False))
            self.patches.set(async_class, "on_span_end", one_async(True))
            self.patches.set(async_class, "on_spans_start", many_async(False))
            self.patches.set(async_class, "on_spans_end", many_async(True))
            self.patches.set(async_class, "shutdown", shutdown_async)

        original = self.sgp.SGPAsyncTracingProcessor.__init__

        @functools.wraps(original)
        def init_async(processor: Any, config: Any) -> None:
            try:
                original(processor, config)
            except Exception:
                # Without AGENT_NAME or ACP_URL the reference refuses to begin. Spans need neither.
                processor.disabled = config.sgp_api_key == "" or config.sgp_account_id == ""
                processor._config = config
                processor._clients_by_loop = weakref.WeakKeyDictionary()
                processor.env_vars = None

        def init_sync(processor: Any, config: Any) -> None:
            # The reference begins scale-gp-beta's own queue here, one for the whole process.
            processor._config = config
            processor.env_vars = None

        self.patches.set(self.sgp.SGPAsyncTracingProcessor, "__init__", init_async)
        self.patches.set(self.sgp.SGPSyncTracingProcessor, "__init__", init_sync)

    def _pipeline_of(self, processor: Any) -> Tracer | None:
        if self.pipelines._types.get(type(processor)) is None:
            # A subclass of the program that calls its parent.
            for base in type(processor).__mro__:
                if base in self.pipelines._types:
                    stand_in = object.__new__(base)
                    stand_in.__dict__.update(processor.__dict__)
                    return self.pipelines.split([stand_in])[0]
        return self.pipelines.split([processor])[0]

    def _direct(self, processor: Any, spans: list[Any], ended: bool) -> None:
        try:
            tracer = self._pipeline_of(processor)
            if tracer is not None:
                for span in spans:
                    _submit(tracer, span, ended)
        except Exception:
            _swallowed("a span could not be handed over")

    # The queue.

    def _patch_queue(self) -> None:
        installation = self
        queue_class = self.queue.AsyncSpanQueue
        self.original_enqueue = queue_class.enqueue
        self.original_shutdown = queue_class.shutdown
        original_depth = queue_class.depth.fget
        original_dropped = queue_class.dropped_spans.fget

        def enqueue(queue: Any, event_type: Any, span: Any, processors: Any) -> None:
            try:
                installation.enqueue(queue, event_type, span, processors, snapshot=False)
            except Exception:
                _swallowed("a span could not be handed over")

        async def shutdown(queue: Any, timeout: float = 30.0) -> None:
            await installation.shutdown_queue(queue, timeout)

        def depth(queue: Any) -> int:
            waiting = original_depth(queue) + sum(original_depth(of) for of in installation.inner_queues(queue))
            return waiting + sum(stats.pending + stats.unread_records for stats in installation.stats())

        def dropped_spans(queue: Any) -> int:
            dropped = original_dropped(queue) + sum(original_dropped(of) for of in installation.inner_queues(queue))
            return dropped + sum(stats.dropped for stats in installation.stats())

        for name, method in (("enqueue", enqueue), ("shutdown", shutdown)):
            method.__doc__ = getattr(queue_class, name).__doc__
            self.patches.set(queue_class, name, method)
        self.patches.set(queue_class, "depth", property(depth, doc=queue_class.depth.__doc__))
        self.patches.set(queue_class, "dropped_spans", property(dropped_spans, doc=queue_class.dropped_spans.__doc__))

    def stats(self) -> list[Stats]:
        return [tracer.stats() for tracer in self.pipelines.tracers()]

    def inner_queues(self, queue: Any) -> list[Any]:
        return [inner for _, inner in list(self.inner.get(queue, {}).values())]

    def enqueue(self, queue: Any, event: Any, span: Any, processors: Any, snapshot: bool) -> None:
        if queue._stopping:
            queue._record_drop(1, "queue shutting down")
            return
        tracer, others, _ = self.pipelines.split(processors)
        if tracer is not None:
            _submit(tracer, span, event == self.queue.SpanEventType.END)
        if others:
            copy = _copied(span) if snapshot else span
            try:
                loop: Any = asyncio.get_running_loop()
            except RuntimeError:
                loop = self._background_loop()
                loop.call_soon_threadsafe(self._enqueue_on, loop, queue, event, copy, others)
                return
            self._enqueue_on(loop, queue, event, copy, others)

    def _enqueue_on(self, loop: Any, queue: Any, event: Any, span: Any, processors: list[Any]) -> None:
        """Hands a span to processors of the program, through a queue that belongs to this event loop."""
        first = self.first_loop.setdefault(queue, weakref.ref(loop))
        target = queue
        if first() is not loop:
            inner = self.inner.setdefault(queue, {})
            entry = inner.get(id(loop))
            if entry is None or entry[0]() is not loop:
                target = self.queue.AsyncSpanQueue(
                    batch_size=queue._batch_size,
                    linger_ms=queue._linger_ms,
                    max_size=queue._queue.maxsize,
                    max_retries=queue._max_retries,
                    concurrency=queue._concurrency,
                )
                inner[id(loop)] = (weakref.ref(loop), target)
            else:
                target = entry[1]
        self.original_enqueue(target, event, span, processors)

    def _background_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop for processors of programs that have none."""
        with self._loop_lock:
            if self._loop is None:
                # What the loop's thread would import, and with it hooks for forks: see docs/python.md.
                import concurrent.futures.thread  # noqa: F401

                _import_or_none("agentex.lib.core.observability.tracing_metrics")
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="endspan-processors", daemon=True).start()
                self._loop = loop
            return self._loop

    async def shutdown_queue(self, queue: Any, timeout: float) -> None:
        here = asyncio.get_running_loop()
        first = self.first_loop.get(queue)
        entries = [(first, queue)] if first is not None else []
        entries += list(self.inner.get(queue, {}).values())
        queue._stopping = True
        flushes = [tracer.flush_async(timeout) for tracer in self.pipelines.tracers()]
        own = []
        for reference, target in entries:
            loop = reference()
            if loop is here:
                own.append(self.original_shutdown(target, timeout=timeout))
            elif loop is not None and loop.is_running():
                elsewhere = asyncio.run_coroutine_threadsafe(self.original_shutdown(target, timeout=timeout), loop)
                own.append(asyncio.wrap_future(elsewhere))
            else:
                target._stopping = True
                target._record_drop(target._queue.qsize(), "queue shutting down")
        await asyncio.gather(*flushes, *own, return_exceptions=True)

    # Registry and facade.

    def _patch_manager(self) -> None:
        manager_class = self.manager.TracingProcessorManager
        original = manager_class.__init__

        def init(manager: Any) -> None:
            original(manager)
            manager.lock = threading.RLock()

        # `set_processor_configs` takes the lock that `add_processor_config` takes again.
        self.patches.set(manager_class, "__init__", init)
        manager = self.manager.GLOBAL_TRACING_PROCESSOR_MANAGER
        self.lock_before = manager.lock
        manager.lock = threading.RLock()

    def _patch_facade(self) -> None:
        if self.facade is None:
            return
        installation = self
        original = self.facade.TracingModule.span

        @functools.wraps(original)
        def span(module: Any, *args: Any, **keywords: Any) -> Any:
            return _FacadeScope(installation, functools.partial(original, module, *args, **keywords))

        self.patches.set(self.facade.TracingModule, "span", span)


class _Scope(AbstractContextManager, ContextDecorator):  # type: ignore[type-arg]
    """What ``Trace.span`` returns: ends the span whatever happens, and records what the body raised."""

    def __init__(self, installation: _Installation, trace: Any, arguments: tuple[Any, ...]) -> None:
        self._of = (installation, trace, arguments)
        self._span: Any = None

    def _recreate_cm(self) -> _Scope:
        return type(self)(*self._of)

    def __enter__(self) -> Any:
        _, trace, arguments = self._of
        if trace.trace_id:
            self._span = trace.start_span(*arguments)
        return self._span

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._span is None:
            return
        installation, trace, _ = self._of
        if error is not None:
            installation.record(self._span, error)
        try:
            trace.end_span(self._span)
        except Exception:
            _swallowed("a span could not be ended")


class _AsyncScope(AbstractAsyncContextManager, AsyncContextDecorator):  # type: ignore[type-arg]
    """The same for ``AsyncTrace.span``."""

    def __init__(self, installation: _Installation, trace: Any, arguments: tuple[Any, ...]) -> None:
        self._of = (installation, trace, arguments)
        self._span: Any = None

    def _recreate_cm(self) -> _AsyncScope:
        return type(self)(*self._of)

    async def __aenter__(self) -> Any:
        _, trace, arguments = self._of
        if trace.trace_id:
            self._span = await trace.start_span(*arguments)
        return self._span

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._span is None:
            return
        installation, trace, _ = self._of
        if error is not None:
            installation.record(self._span, error)
        try:
            await trace.end_span(self._span)
        except Exception:
            _swallowed("a span could not be ended")


class _FacadeScope(AbstractAsyncContextManager, AsyncContextDecorator):  # type: ignore[type-arg]
    """The same for ``adk.tracing.span``, whose own context manager is asked, Temporal and all."""

    def __init__(self, installation: _Installation, make: Any) -> None:
        self._installation, self._make = installation, make
        self._inner: Any = None
        self._span: Any = None

    def _recreate_cm(self) -> _FacadeScope:
        return type(self)(self._installation, self._make)

    async def __aenter__(self) -> Any:
        self._inner = self._make()
        self._span = await self._inner.__aenter__()
        return self._span

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if error is not None and self._span is not None:
            self._installation.record(self._span, error)
        return await self._inner.__aexit__(kind, error, traceback)


def _import_or_none(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
