"""What ``span(...)`` of traces and of the facade returns: a scope that ends its span whatever happens."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncContextDecorator, ContextDecorator
from typing import TYPE_CHECKING, Any

from ._pipelines import swallowed

if TYPE_CHECKING:
    from ._traces import Traces


class Scope(AbstractContextManager, ContextDecorator):  # type: ignore[type-arg]
    """What ``Trace.span`` returns: ends the span whatever happens, and records what the body raised."""

    def __init__(self, traces: Traces, trace: Any, arguments: tuple[Any, ...]) -> None:
        self._of = (traces, trace, arguments)
        self._span: Any = None

    def _recreate_cm(self) -> Scope:
        return type(self)(*self._of)

    def __enter__(self) -> Any:
        _, trace, arguments = self._of
        if trace.trace_id:
            self._span = trace.start_span(*arguments)
        return self._span

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._span is None:
            return
        traces, trace, _ = self._of
        if error is not None:
            traces.record(self._span, error)
        try:
            trace.end_span(self._span)
        except Exception:
            swallowed("a span could not be ended")


class AsyncScope(AbstractAsyncContextManager, AsyncContextDecorator):  # type: ignore[type-arg]
    """The same for ``AsyncTrace.span``."""

    def __init__(self, traces: Traces, trace: Any, arguments: tuple[Any, ...]) -> None:
        self._of = (traces, trace, arguments)
        self._span: Any = None

    def _recreate_cm(self) -> AsyncScope:
        return type(self)(*self._of)

    async def __aenter__(self) -> Any:
        _, trace, arguments = self._of
        if trace.trace_id:
            self._span = await trace.start_span(*arguments)
        return self._span

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._span is None:
            return
        traces, trace, _ = self._of
        if error is not None:
            traces.record(self._span, error)
        try:
            await trace.end_span(self._span)
        except Exception:
            swallowed("a span could not be ended")


class FacadeScope(AbstractAsyncContextManager, AsyncContextDecorator):  # type: ignore[type-arg]
    """The same for ``adk.tracing.span``, whose own context manager is asked, Temporal and all."""

    def __init__(self, traces: Traces, make: Any) -> None:
        self._traces, self._make = traces, make
        self._inner: Any = None
        self._span: Any = None

    def _recreate_cm(self) -> FacadeScope:
        return type(self)(self._traces, self._make)

    async def __aenter__(self) -> Any:
        self._inner = self._make()
        self._span = await self._inner.__aenter__()
        return self._span

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if error is not None and self._span is not None:
            self._traces.record(self._span, error)
        return await self._inner.__aexit__(kind, error, traceback)
