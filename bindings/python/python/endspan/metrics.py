"""What the pipelines do, as OpenTelemetry instruments; the program brings the provider.

    import endspan.metrics
    endspan.metrics.install()

The names are those of agentex-sdk, meter ``agentex.tracing``. The pipeline counts by itself, so that the instruments are
observed when they are read, and a span costs nothing for them: counters stay counters; the queue's depth is a gauge. What
needs an event for each batch (lag, batch sizes, durations) is not there. ``Tracer.stats()`` has the numbers without
OpenTelemetry.

``endspan.agentex.install()`` does this by itself, as agentex-sdk does, unless ``AGENTEX_TRACING_METRICS`` is off.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import _lifetime

__all__ = ["install", "installed", "uninstall"]

_OFF = ("0", "false", "no", "off")
_PREFIX = "agentex.tracing."
# Each counter: its name, unit and description.
_COUNTERS = {
    "span_events.enqueued": ("1", "Writes that the pipeline took on."),
    "span_events.dropped": ("1", "Writes that were given up, by reason."),
    "export.batches": ("1", "Requests that a destination answered well."),
    "export.spans": ("1", "Writes that a destination has."),
    "export.batch_failures": ("1", "Requests that failed, those that were tried again included."),
    "export.span_failures": ("1", "Writes that a destination was not given in the end."),
}
_DEPTH = "queue.depth"

# A name, and its attributes.
_Key = tuple[str, tuple[tuple[str, str], ...]]


class _Numbers:
    """The numbers of all tracers. A counter must not fall back when a tracer is collected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens = itertools.count()
        self._known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._last: dict[int, Counter[_Key]] = {}
        self.active = True

    def read(self) -> Counter[_Key]:
        with self._lock:
            depth = 0
            for tracer in list(_lifetime._tracers):
                if not tracer.enabled:
                    continue
                counts, waiting = _of(tracer)
                depth += waiting
                token = self._known.get(tracer)
                if token is None:
                    token = self._known[tracer] = next(self._tokens)
                self._last[token] = counts
            total: Counter[_Key] = Counter({(_DEPTH, ()): depth})
            for counts in self._last.values():
                total.update(counts)
            return total

    def observe(self, name: str, observation: Any) -> list[Any]:
        if not self.active:
            return []
        return [
            observation(value, dict(attributes)) for (of, attributes), value in self.read().items() if of == name
        ]


def _of(tracer: Any) -> tuple[Counter[_Key], int]:
    stats = tracer.stats()
    counts: Counter[_Key] = Counter()
    # A write goes to all destinations, and is taken on once.
    taken = max((of.account.accepted for of in stats.destinations), default=0)
    counts["span_events.enqueued", (("event_type", "end"),)] = taken
    for of in stats.destinations:
        processor = (("event_type", "end"), ("processor", "sgp" if of.account.destination == "sgp" else "other"))
        for reason, count in of.account.dropped.items():
            counts["span_events.dropped", (("reason", reason),)] += count
        counts["export.batches", processor] += of.requests - of.failed_requests
        counts["export.spans", processor] += of.account.delivered
        counts["export.batch_failures", processor] += of.failed_requests
        counts["export.span_failures", processor] += of.account.dropped_total
    return counts, stats.pending + stats.unread_records


_numbers: _Numbers | None = None


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
    numbers = _Numbers()
    meter = metrics.get_meter("agentex.tracing", meter_provider=meter_provider)

    def callback(name: str) -> Any:
        def observe(_: object) -> Iterable[Any]:
            return numbers.observe(name, metrics.Observation)

        return observe

    for name, (unit, description) in _COUNTERS.items():
        meter.create_observable_counter(_PREFIX + name, [callback(name)], unit, description)
    meter.create_observable_gauge(_PREFIX + _DEPTH, [callback(_DEPTH)], "1", "Writes that wait or are under way.")
    _numbers = numbers
    return True


def uninstall() -> None:
    """Lets the instruments observe nothing more."""
    global _numbers
    numbers, _numbers = _numbers, None
    if numbers is not None:
        numbers.active = False


def installed() -> bool:
    """Whether there are instruments."""
    return _numbers is not None
