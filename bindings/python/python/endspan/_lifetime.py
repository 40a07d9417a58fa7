"""Forks, and the ends of processes.

The pipeline looks after itself: a killed process leaves its spans in the spool, a forked child grows a pipeline of its
own, the normal end of the process flushes. What is here is what only Python can do: end the spans that are still open,
and cover the ways in which Python children end.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _native

if TYPE_CHECKING:
    from ._tracer import Tracer

# How long the end of a process may wait for destinations that answer.
_EXIT_TIMEOUT_S = 30.0

_tracers: weakref.WeakSet[Tracer] = weakref.WeakSet()
_multiprocessing: Any = None
# Takes what a tracer did when it ends, if somebody wants to know.
_take_activity: Callable[[Tracer], None] | None = None


def watch(tracer: Tracer) -> None:
    """Remembers a tracer for the end of the process."""
    _tracers.add(tracer)
    if _take_activity is not None:
        tracer._watch_activity(True)


def watch_activity(take: Callable[[Tracer], None] | None) -> None:
    """Lets tracers keep what they do, for ``take`` to take when they end; ``None``: no longer."""
    global _take_activity
    _take_activity = take
    for tracer in list(_tracers):
        tracer._watch_activity(take is not None)


def ended(tracer: Tracer) -> None:
    """Says that a tracer was shut down."""
    if _take_activity is not None:
        _take_activity(tracer)


def end() -> None:
    """Ends what is open and flushes. At the end of the interpreter, while everything still works."""
    tracers = [tracer for tracer in list(_tracers) if tracer.enabled]
    if not tracers:
        _native.interpreter_ends()
        return
    _native.end_open_spans(gc.get_objects())
    for tracer in tracers:
        tracer._shutdown_at_exit(_exit_timeout())
        ended(tracer)
    _native.interpreter_ends()


def _exit_timeout() -> float:
    try:
        return int(os.environ["ENDSPAN_SHUTDOWN_TIMEOUT_MS"]) / 1000
    except (KeyError, ValueError):
        return _EXIT_TIMEOUT_S


class _Child:
    """What multiprocessing's children hold on to: they end without Python's exit hooks."""


_child = _Child()


def _in_child(_: object) -> None:
    util = sys.modules["multiprocessing.util"]
    util.Finalize(None, end, exitpriority=-100)


def _before_fork() -> None:
    global _multiprocessing
    util = sys.modules.get("multiprocessing.util")
    if util is not None and _multiprocessing is None:
        _multiprocessing = util
        util.register_after_fork(_child, _in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_native.forked)
atexit.register(end)
