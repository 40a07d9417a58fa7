"""The tracer, and what happens to it when a process forks or ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _lifetime, _native, _observability
from ._report import Report, Stats

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Tracer", "span", "traced"]

_F = TypeVar("_F", bound=Callable[..., Any])


class Tracer(_native.Tracer):
    """The entry: makes traces, and accounts for every span.

    Args:
        exporters: Where spans go. ``None``: what the environment describes (SGP if ``SGP_API_KEY`` and
            ``SGP_ACCOUNT_ID`` are set, Agentex if ``AGENTEX_BASE_URL`` is). Empty: nowhere.
        batch_size: Spans of a request (``AGENTEX_SPAN_QUEUE_BATCH_SIZE``).
        batch_bytes: Bytes of a request (``ENDSPAN_BATCH_BYTES``).
        linger_ms: How long the first span of a request waits for company (``AGENTEX_SPAN_QUEUE_LINGER_MS``).
        max_queue_size: Spans that may wait for each destination; 0: no limit (``AGENTEX_SPAN_QUEUE_MAX_SIZE``).
        max_attempts: How often a span is tried (``AGENTEX_SPAN_QUEUE_MAX_RETRIES``).
        concurrency: Requests in flight to each destination (``AGENTEX_SPAN_QUEUE_CONCURRENCY``).
        start_delay_ms: How long a start is held where starts are written (``ENDSPAN_START_DELAY_MS``).
        every_start: Writes every start, before its end, where starts are written.
        export_timeout_ms: How long one request may take (``ENDSPAN_EXPORT_TIMEOUT_MS``).
        max_age_s: How old an undelivered span may become; 0: no limit (``ENDSPAN_MAX_AGE_S``).
        queue_bytes: Bytes of spans in memory (``ENDSPAN_QUEUE_MAX_BYTES``).
        spool: Whether spans are kept in files until they are delivered (``ENDSPAN_SPOOL``).
        spool_dir: The spool's directory (``ENDSPAN_SPOOL_DIR``).
        spool_bytes: Bytes of the spool (``ENDSPAN_SPOOL_MAX_BYTES``).
        shutdown_timeout: Seconds that a shutdown may take (``ENDSPAN_SHUTDOWN_TIMEOUT_MS``).
        older_profile: The constants of scale-gp-beta's queue: 4000 spans, requests of 50 after 4 s, 4 attempts.
    """

    def __new__(cls, exporters: Iterable[_native.Exporter] | None = None, **settings: Any) -> Self:
        settings.setdefault("observe", _observability.reader())
        tracer = super().__new__(cls, None if exporters is None else list(exporters), **settings)
        _lifetime.watch(tracer)
        return tracer

    def flush(self, timeout: float = 30.0) -> Report:
        """Delivers what ended until now. Blocks the calling thread, not the others; on an event loop use
        :meth:`flush_async`."""
        return Report._of(self._flush(timeout))

    async def flush_async(self, timeout: float = 30.0) -> Report:
        """The same, off the event loop."""
        # Programs without a loop do not pay for its import.
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self.flush, timeout)

    def shutdown(self, timeout: float | None = None) -> Report:
        """Delivers what is there, and ends; spans that end later are dropped and counted.

        With a spool, what cannot be delivered within ``timeout`` stays there for the next process; without one it is
        dropped, and counted.
        """
        report = Report._of(self._shutdown(timeout))
        _lifetime.ended(self)
        return report

    async def shutdown_async(self, timeout: float | None = None) -> Report:
        """The same, off the event loop."""
        # Programs without a loop do not pay for its import.
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self.shutdown, timeout)

    def stats(self) -> Stats:
        """How things are right now. Cheap."""
        return Stats._of(self._stats())

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


_NOWHERE: Tracer | None = None


def span(name: str, **keywords: Any) -> _native.Span:
    """Makes a child of the current span; without one, a no-op."""
    current = _native.current_span()
    if current is not None:
        return current.span(name, **keywords)
    global _NOWHERE
    if _NOWHERE is None:
        _NOWHERE = Tracer(exporters=[], spool=False)
    return _NOWHERE.trace(None).span(name, **keywords)


@overload
def traced(name: _F) -> _F: ...


@overload
def traced(name: str | None = None, **keywords: Any) -> Callable[[_F], _F]: ...


def traced(name: str | Callable[..., Any] | None = None, **keywords: Any) -> Any:
    """Decorates a function: each call is a child of the span that is current then.

    ``@traced``, ``@traced("name")``, ``@traced("name", span_type="TOOL")``. Without a current span, the call is not
    traced.
    """
    if callable(name):
        return traced()(name)

    def decorate(function: Callable[..., Any]) -> Any:
        from . import _decorator

        title = name if isinstance(name, str) else getattr(function, "__qualname__", str(function))
        return _decorator.wrap(functools.partial(span, title, **keywords), function)

    return decorate
