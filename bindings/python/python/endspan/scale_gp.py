"""Puts endspan's pipeline in the place of scale-gp-beta's tracing queue.

    import endspan.scale_gp
    endspan.scale_gp.install()

``create_trace``, ``create_span``, ``flush_queue`` and ``init`` stay as they are. What the queue manager was given goes
through endspan: spans are encoded when they end, as they are then; a bad one hurts no other; nothing is lost when the
queue is full for a while or the process dies. A manager with an ``export_fn`` of the program is left alone.
"""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

from . import _native
from ._switch import Switch
from ._tracer import Tracer

__all__ = ["install", "installed", "tracers", "uninstall"]

_log = logging.getLogger("endspan")
_switch: Switch[_Installation] = Switch()


def install(**settings: Any) -> None:
    """Installs the drop-in, before or after ``init``. A second call does nothing.

    Args:
        settings: Settings of :class:`endspan.Tracer`. Without any, endspan's own defaults hold; ``older_profile=True``
            takes the constants of the replaced queue.
    """
    _switch.on(lambda: _Installation(settings))


def uninstall(timeout: float = 30.0) -> None:
    """Puts everything back, and delivers what is there."""
    _switch.off(timeout)


def installed() -> bool:
    """Whether the drop-in is installed."""
    return _switch.installed is not None


def tracers() -> list[Tracer]:
    """The pipelines in use: one for each key, account and address."""
    installed = _switch.installed
    return [] if installed is None else installed.all_tracers()


class _Installation:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.module = importlib.import_module("scale_gp_beta.lib.tracing.trace_queue_manager")
        self.settings = settings
        self.lock = threading.Lock()
        self.tracers: dict[tuple[str, str, str], Tracer] = {}
        self.before: dict[str, Any] = {}

    def all_tracers(self) -> list[Tracer]:
        with self.lock:
            return list(self.tracers.values())

    def tracer_of(self, manager: Any) -> Tracer | None:
        """Returns the pipeline of a manager, or ``None`` if it exports by itself or not at all."""
        if getattr(manager._exporter, "_export_fn", None) is not None or getattr(
            manager._exporter, "export_fn", None
        ):
            return None
        client = manager.client
        if client is None:
            return None
        destination = (str(client.api_key), str(client.account_id), str(client.base_url).rstrip("/"))
        found = self.tracers.get(destination)
        if found is not None:
            return found
        with self.lock:
            return self.tracers.setdefault(
                destination,
                Tracer([_native.SGPExporter(*destination, agent_tags=False)], observe=None, **self.settings),
            )

    def submit(self, manager: Any, span: Any) -> bool:
        tracer = self.tracer_of(manager)
        if tracer is None:
            return False
        start = _time(span.start_time)
        if start is None:
            return False
        metadata = span.metadata
        tracer.submit(
            id=span.span_id,
            trace_id=span.trace_id,
            name=span.name,
            start_time=start,
            end_time=_time(span.end_time),
            parent_id=span.parent_span_id,
            input=span.input,
            output=span.output,
            data=metadata,
            group_id=span.group_id,
            status=span.status,
            span_type=span.span_type,
        )
        return True

    def install(self) -> None:
        manager_class = self.module.TraceQueueManager
        self.before = {
            name: vars(manager_class)[name] for name in ("enqueue", "export_now", "flush_queue", "shutdown", "_export")
        }
        installation = self
        before = self.before

        def enqueue(manager: Any, span: Any) -> None:
            try:
                if installation.submit(manager, span):
                    return
            except Exception:
                _log.warning("a span could not be handed over; the program goes on", exc_info=True)
                return
            before["enqueue"](manager, span)

        def export_now(manager: Any, span: Any) -> None:
            enqueue(manager, span)
            flush_queue(manager)

        def flush_queue(manager: Any) -> None:
            tracer = installation.tracer_of(manager)
            if tracer is not None:
                tracer.flush()
            _export(manager)

        def shutdown(manager: Any, timeout: float | None = None) -> None:
            before["shutdown"](manager, timeout)
            tracer = installation.tracer_of(manager)
            if tracer is not None:
                tracer.flush(30.0 if timeout is None else timeout)

        def _export(manager: Any) -> None:
            # What was queued before the installation, and what the program exports by itself.
            if not manager._queue.empty():
                before["_export"](manager)

        for method in (enqueue, export_now, flush_queue, shutdown, _export):
            method.__qualname__ = f"TraceQueueManager.{method.__name__}"
            method.__doc__ = before[method.__name__].__doc__
            setattr(manager_class, method.__name__, method)

    def uninstall(self, timeout: float) -> None:
        for name, method in self.before.items():
            setattr(self.module.TraceQueueManager, name, method)
        for tracer in self.all_tracers():
            tracer.shutdown(timeout)


def _time(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
