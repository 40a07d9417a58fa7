"""The current span in threads and executors.

Tasks, callbacks and ``asyncio.to_thread`` take the context of whoever made them, and with it the current span. Threads and
executors begin with an empty one. Either hand over what runs there:

    executor.submit(endspan.carry(work), item)

or, once in a program:

    import endspan.threads
    endspan.threads.install()

From then on each ``threading.Thread`` that is started, and each call that is submitted to a ``ThreadPoolExecutor``
(``loop.run_in_executor`` included), has the span that was current there and then as its current span. Nothing else of the
context is carried. Other processes get a parent by its id: ``trace.span(..., parent=span.id)``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from . import _native

__all__ = ["carry", "install", "installed", "uninstall"]

_R = TypeVar("_R")
_before: tuple[Any, Any] | None = None
_lock = threading.Lock()


def _call(span: _native.Span | None, function: Callable[..., Any], /, *args: Any, **keywords: Any) -> Any:
    before = _native.current_span()
    _native.set_current(span)
    try:
        return function(*args, **keywords)
    finally:
        # A pool's thread goes on to other work.
        _native.set_current(before)


def carry(function: Callable[..., _R]) -> Callable[..., _R]:
    """Returns a function that runs with the span that is current now, wherever it is called."""
    return functools.wraps(function)(functools.partial(_call, _native.current_span(), function))


def install() -> None:
    """Carries the current span into threads and executors. A second call does nothing."""
    global _before
    from concurrent.futures import ThreadPoolExecutor

    with _lock:
        if _before is not None:
            return
        start = threading.Thread.start
        submit: Any = ThreadPoolExecutor.submit

        @functools.wraps(start)
        def carrying_start(self: threading.Thread) -> None:
            span = _native.current_span()
            if span is not None:
                run = self.run

                def carried_run() -> None:
                    # The thread must not hold on to itself.
                    vars(self).pop("run", None)
                    _call(span, run)

                self.run = carried_run  # type: ignore[method-assign]
            start(self)

        @functools.wraps(submit)
        def carrying_submit(self: Any, fn: Callable[..., Any], /, *args: Any, **keywords: Any) -> Any:
            span = _native.current_span()
            if span is None:
                return submit(self, fn, *args, **keywords)
            # A thread that the pool starts now serves others later: it begins without a span.
            return _call(None, submit, self, functools.partial(_call, span, fn), *args, **keywords)

        threading.Thread.start = carrying_start  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = carrying_submit  # type: ignore[method-assign]
        _before = (start, submit)


def uninstall() -> None:
    """Puts everything back."""
    global _before
    from concurrent.futures import ThreadPoolExecutor

    with _lock:
        if _before is not None:
            threading.Thread.start, ThreadPoolExecutor.submit = _before  # type: ignore[method-assign]
            _before = None


def installed() -> bool:
    """Whether it is installed."""
    return _before is not None
