"""What the pipelines do, as OpenTelemetry instruments; the program brings the provider.

    import endspan.metrics
    endspan.metrics.install()

The names, kinds, units and attributes are those of agentex-sdk, meter ``agentex.tracing``, with a few gauges of endspan's
beside them. The pipeline counts by itself, without Python, and what it did is handed to the instruments when they are read:
a span costs nothing for them, and no thread is needed. Values for histograms wait until then, the latest 65,536 of each tracer
at most; counters are exact in any case. ``Tracer.stats()`` has the numbers without OpenTelemetry.

``endspan.agentex.install()`` does this by itself, as agentex-sdk does, unless ``AGENTEX_TRACING_METRICS`` is off.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from . import _lifetime

__all__ = ["install", "installed", "uninstall"]

_OFF = ("0", "false", "no", "off")
_PREFIX = "agentex.tracing."
# Name, unit and description of each.
_COUNTERS = {
    "agentex.tracing.span_events.enqueued": "Writes that the pipeline took on.",
    "agentex.tracing.export.batches": "Requests that delivered something.",
    "agentex.tracing.export.spans": "Writes that a destination has.",
    "agentex.tracing.export.batch_failures": "Requests after which writes were given up.",
    "agentex.tracing.export.span_failures": "Writes that were given up after a request.",
    "agentex.tracing.shutdown.timeouts": "Shutdowns that ran out of time.",
    "endspan.export.retries": "Requests that failed, and whose writes wait for another one.",
}
_HISTOGRAMS = {
    "queue.depth": ("1", "Writes that waited when some were taken out of the queue, those included."),
    "queue.lag": ("ms", "Age of the oldest write taken out of the queue at a time."),
    "batch.items": ("1", "Writes taken out of the queue at a time."),
    "batch.size": ("1", "Writes of a request."),
    "batch.drain_duration": ("ms", "How long a request took."),
    "shutdown.remaining_items": ("1", "Writes left when a shutdown ran out of time."),
}
_DROPPED = "agentex.tracing.span_events.dropped"
_GAUGES = {
    "endspan.queue.pending": ("1", "Writes that wait or are under way."),
    "endspan.queue.pending_bytes": ("By", "Their bytes."),
    "endspan.export.in_flight": ("1", "Requests under way."),
    "endspan.spool.bytes": ("By", "Bytes of the spool's files."),
}


class _Numbers:
    """The instruments, and the numbers of all tracers."""

    def __init__(self, meter: Any, observation: Any) -> None:
        self.lock = threading.Lock()
        self.active = True
        self._observation = observation
        self._counters = {name: meter.create_counter(name, "1", about) for name, about in _COUNTERS.items()}
        self._histograms = {
            name: meter.create_histogram(_PREFIX + name, unit, about) for name, (unit, about) in _HISTOGRAMS.items()
        }
        # What was dropped is known by reason in the account alone. A counter must not fall back when a tracer is collected.
        self._tokens = itertools.count()
        self._known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._dropped: dict[int, Counter[str]] = {}
        meter.create_observable_counter(
            _DROPPED, [self._callback(self._observe_dropped)], "1", "Writes that were given up, by reason."
        )
        for name, (unit, about) in _GAUGES.items():
            meter.create_observable_gauge(name, [self._callback(self._observer(name))], unit, about)

    def _callback(self, observe: Callable[[], Iterable[tuple[float, dict[str, str]]]]) -> Any:
        def callback(_: object) -> list[Any]:
            if not self.active:
                return []
            # Callbacks run before anything is collected, so that what is recorded here is collected with it.
            self.drain(list(_lifetime._tracers))
            return [self._observation(value, attributes) for value, attributes in observe()]

        return callback

    def drain(self, tracers: Iterable[Any]) -> None:
        """Records what tracers did since the last time."""
        if not self.active:
            return
        with self.lock:
            for tracer in tracers:
                if tracer.enabled:
                    self._record(tracer._take_activity())
                    self._note_drops(tracer)

    def _add(self, name: str, value: int, attributes: dict[str, str]) -> None:
        if value:
            self._counters[name].add(value, attributes)

    def _record(self, activity: dict[str, Any]) -> None:
        for event_type in ("start", "end"):
            self._add(
                "agentex.tracing.span_events.enqueued", activity[f"{event_type}s"], {"event_type": event_type}
            )
        for (exporter, phase, http_code, error_class), sums in activity["exports"]:
            batches, spans, batch_failures, span_failures, retries = sums
            attributes = {"processor": _processor(exporter), "event_type": phase}
            self._add("agentex.tracing.export.batches", batches, attributes)
            self._add("agentex.tracing.export.spans", spans, attributes)
            if error_class is not None:
                attributes = {**attributes, "http_code": http_code, "error_class": error_class}
                self._add("agentex.tracing.export.batch_failures", batch_failures, attributes)
                self._add("agentex.tracing.export.span_failures", span_failures, attributes)
                self._add("endspan.export.retries", retries, attributes)
        for name, phase, value in activity["samples"]:
            self._histograms[name].record(value, {} if phase is None else {"phase": phase})
            if name == "shutdown.remaining_items":
                self._add("agentex.tracing.shutdown.timeouts", 1, {})

    def _note_drops(self, tracer: Any) -> None:
        token = self._known.get(tracer)
        if token is None:
            token = self._known[tracer] = next(self._tokens)
        counts: Counter[str] = Counter()
        for of in tracer.stats().destinations:
            counts.update(of.account.dropped)
        self._dropped[token] = counts

    def _observe_dropped(self) -> list[tuple[float, dict[str, str]]]:
        with self.lock:
            total: Counter[str] = Counter()
            for counts in self._dropped.values():
                total.update(counts)
        return [(count, {"reason": reason}) for reason, count in total.items()]

    def _observer(self, name: str) -> Callable[[], list[tuple[float, dict[str, str]]]]:
        def observe() -> list[tuple[float, dict[str, str]]]:
            values: Counter[str] = Counter()
            for tracer in list(_lifetime._tracers):
                stats = tracer.stats()
                if name == "endspan.spool.bytes":
                    values[""] += stats.spool_bytes
                    continue
                for of in stats.destinations:
                    values[_processor(of.account.destination)] += {
                        "endspan.queue.pending": of.account.pending,
                        "endspan.queue.pending_bytes": of.pending_bytes,
                        "endspan.export.in_flight": of.requests_in_flight,
                    }[name]
            return [(value, {"processor": of} if of else {}) for of, value in values.items()]

        return observe


def _processor(exporter: str) -> str:
    return "sgp" if exporter == "sgp" else "other"


_numbers: _Numbers | None = None


def _drain(tracer: Any) -> None:
    """Records what a tracer did that ends."""
    if _numbers is not None:
        _numbers.drain([tracer])


def _in_child() -> None:
    # Another thread of the parent may have held it.
    if _numbers is not None:
        _numbers.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def install(meter_provider: Any = None) -> bool:
    """Makes the instruments, once. Returns whether there are any: not without OpenTelemetry's API, nor when
    ``AGENTEX_TRACING_METRICS`` is off.

    Args:
        meter_provider: The provider; without, the global one, which may be set later.
    """
    global _numbers
    if _numbers is not None:
        return True
    if os.environ.get("AGENTEX_TRACING_METRICS", "1").strip().lower() in _OFF:
        return False
    try:
        from opentelemetry import metrics
    except ImportError:
        return False
    meter = metrics.get_meter("agentex.tracing", meter_provider=meter_provider)
    _numbers = _Numbers(meter, metrics.Observation)
    _lifetime.watch_activity(_drain)
    return True


def uninstall() -> None:
    """Lets the instruments observe nothing more."""
    global _numbers
    numbers, _numbers = _numbers, None
    if numbers is not None:
        numbers.active = False
        _lifetime.watch_activity(None)


def installed() -> bool:
    """Whether there are instruments."""
    return _numbers is not None
