"""The span queue: what it is given goes to the pipeline, and to processors of the program on their event loops."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ._pipelines import copied, import_or_none, swallowed

if TYPE_CHECKING:
    from .._report import Stats
    from ._installation import Installation


class Queues:
    """The patches of ``AsyncSpanQueue``, and the queues behind each one."""

    def __init__(self, installation: Installation) -> None:
        self._of = installation
        self._class = installation.queue.AsyncSpanQueue
        self._events = installation.queue.SpanEventType
        self._enqueue = self._class.enqueue
        self._shutdown = self._class.shutdown
        # For each queue, the queues that stand for it on further event loops.
        self._inner: weakref.WeakKeyDictionary[Any, dict[int, tuple[Any, Any]]] = weakref.WeakKeyDictionary()
        self._first_loop: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_lock = threading.Lock()

    def patch(self) -> None:
        queues, events, queue_class = self, self._events, self._class
        original_depth = queue_class.depth.fget
        original_dropped = queue_class.dropped_spans.fget

        def enqueue(queue: Any, event_type: Any, span: Any, processors: Any) -> None:
            try:
                queues.enqueue(queue, event_type == events.END, span, processors, snapshot=False)
            except Exception:
                swallowed("a span could not be handed over")

        async def shutdown(queue: Any, timeout: float = 30.0) -> None:
            await queues.shutdown(queue, timeout)

        def depth(queue: Any) -> int:
            waiting: int = original_depth(queue) + sum(original_depth(of) for of in queues._inner_queues(queue))
            return waiting + sum(stats.pending + stats.unread_records for stats in queues._stats())

        def dropped_spans(queue: Any) -> int:
            dropped: int = original_dropped(queue) + sum(original_dropped(of) for of in queues._inner_queues(queue))
            return dropped + sum(stats.dropped for stats in queues._stats())

        patches = self._of.patches
        for name, method in (("enqueue", enqueue), ("shutdown", shutdown)):
            method.__doc__ = getattr(queue_class, name).__doc__
            patches.set(queue_class, name, method)
        patches.set(queue_class, "depth", property(depth, doc=queue_class.depth.__doc__))
        patches.set(queue_class, "dropped_spans", property(dropped_spans, doc=queue_class.dropped_spans.__doc__))

    def stop(self) -> None:
        """Ends the event loop that belongs to the installation, if it came to that."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _stats(self) -> list[Stats]:
        return [tracer.stats() for tracer in self._of.pipelines.tracers()]

    def _inner_queues(self, queue: Any) -> list[Any]:
        return [inner for _, inner in list(self._inner.get(queue, {}).values())]

    def enqueue(self, queue: Any, ended: bool, span: Any, processors: Any, snapshot: bool) -> None:
        """Hands a start or an end to whom it concerns; ``snapshot``: processors of the program get a copy."""
        if queue._stopping:
            queue._record_drop(1, "queue shutting down")
            return
        tracer, others, _ = self._of.pipelines.split(processors)
        if tracer is not None:
            tracer.submit_model(span, ended)
        if others:
            event = self._events.END if ended else self._events.START
            copy = copied(span) if snapshot else span
            try:
                loop: Any = asyncio.get_running_loop()
            except RuntimeError:
                loop = self._background_loop()
                loop.call_soon_threadsafe(self._enqueue_on, loop, queue, event, copy, others)
                return
            self._enqueue_on(loop, queue, event, copy, others)

    def _enqueue_on(self, loop: Any, queue: Any, event: Any, span: Any, processors: list[Any]) -> None:
        """Hands a span to processors of the program, through a queue that belongs to this event loop."""
        first = self._first_loop.setdefault(queue, weakref.ref(loop))
        target = queue
        if first() is not loop:
            inner = self._inner.setdefault(queue, {})
            entry = inner.get(id(loop))
            if entry is None or entry[0]() is not loop:
                target = self._class(
                    batch_size=queue._batch_size,
                    linger_ms=queue._linger_ms,
                    max_size=queue._queue.maxsize,
                    max_retries=queue._max_retries,
                    concurrency=queue._concurrency,
                )
                inner[id(loop)] = (weakref.ref(loop), target)
            else:
                target = entry[1]
        self._enqueue(target, event, span, processors)

    def _background_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop for processors of programs that have none."""
        with self._loop_lock:
            if self._loop is None:
                # What the loop's thread would import, and with it hooks for forks; one that runs beside a fork of
                # the main thread would see half of them.
                import concurrent.futures.thread  # noqa: F401

                import_or_none("agentex.lib.core.observability.tracing_metrics")
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="endspan-processors", daemon=True).start()
                self._loop = loop
            return self._loop

    async def shutdown(self, queue: Any, timeout: float) -> None:
        """Ends a queue and those behind it, and flushes the pipelines."""
        here = asyncio.get_running_loop()
        first = self._first_loop.get(queue)
        entries = [(first, queue)] if first is not None else []
        entries += list(self._inner.get(queue, {}).values())
        queue._stopping = True
        flushes = [tracer.flush_async(timeout) for tracer in self._of.pipelines.tracers()]
        own = []
        for reference, target in entries:
            loop = reference()
            if loop is here:
                own.append(self._shutdown(target, timeout=timeout))
            elif loop is not None and loop.is_running():
                elsewhere = asyncio.run_coroutine_threadsafe(self._shutdown(target, timeout=timeout), loop)
                own.append(asyncio.wrap_future(elsewhere))
            else:
                target._stopping = True
                target._record_drop(target._queue.qsize(), "queue shutting down")
        await asyncio.gather(*flushes, *own, return_exceptions=True)
