"""Functions of every kind as spans."""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable
from typing import Any

from . import _native


def decorate(template: _native.Span, function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes each call of a function a span like ``template``."""
    return wrap(template._again, function)


def wrap(make: Callable[[], _native.Span], function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes each call of a function a span that ``make`` returns."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def traced_coroutine(*args: Any, **keywords: Any) -> Any:
            with make():
                return await function(*args, **keywords)

        return traced_coroutine

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def traced_async_generator(*args: Any, **keywords: Any) -> Any:
            span = make()
            generator = function(*args, **keywords)
            sent: Any = None
            error: BaseException | None = None
            # A generator shares the context of whoever asks it for an item. The span is current only while its own
            # body runs.
            outcome: tuple[Any, ...] = (None, None, None)
            span.start()
            try:
                while True:
                    before = _native.current_span()
                    _native.set_current(span)
                    try:
                        if error is None:
                            item = await generator.asend(sent)
                        else:
                            item = await generator.athrow(error)
                    except StopAsyncIteration:
                        return
                    finally:
                        _native.set_current(before)
                    error = None
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:
                        error = thrown
            except BaseException as raised:
                outcome = (type(raised), raised, raised.__traceback__)
                if isinstance(raised, GeneratorExit):
                    await generator.aclose()
                raise
            finally:
                span.__exit__(*outcome)

        return traced_async_generator

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def traced_generator(*args: Any, **keywords: Any) -> Any:
            # The body runs in a context of its own, where its span is current; the caller's stays as it is.
            context = contextvars.copy_context()
            span = make()

            def begin() -> Any:
                span.start()
                _native.set_current(span)
                return function(*args, **keywords)

            generator = context.run(begin)
            outcome: tuple[Any, ...] = (None, None, None)
            step: Callable[[], Any] = functools.partial(next, generator)
            try:
                while True:
                    try:
                        item = context.run(step)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        step = functools.partial(generator.send, (yield item))
                    except GeneratorExit:
                        context.run(generator.close)
                        raise
                    except BaseException as thrown:
                        step = functools.partial(generator.throw, thrown)
            except BaseException as raised:
                outcome = (type(raised), raised, raised.__traceback__)
                raise
            finally:
                span.__exit__(*outcome)

        return traced_generator

    @functools.wraps(function)
    def traced_function(*args: Any, **keywords: Any) -> Any:
        with make():
            return function(*args, **keywords)

    return traced_function
