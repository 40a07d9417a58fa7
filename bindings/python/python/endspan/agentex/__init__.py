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

from typing import Any

from .._report import Stats
from .._switch import Switch
from .._tracer import Tracer
from ._installation import Installation

__all__ = ["install", "installed", "stats", "tracers", "uninstall"]

_switch: Switch[Installation] = Switch()


def install(**settings: Any) -> None:
    """Installs the drop-in. A second call does nothing.

    Args:
        settings: Settings of :class:`endspan.Tracer`, for example ``spool_dir``. What is not given comes from the
            environment, the reference's own variables (``AGENTEX_SPAN_QUEUE_*``, ``AGENTEX_TRACING_SKIP_*``) included.
    """
    _switch.on(lambda: Installation(settings))


def uninstall(timeout: float = 30.0) -> None:
    """Puts everything back, and delivers what is there."""
    _switch.off(timeout)


def installed() -> bool:
    """Whether the drop-in is installed."""
    return _switch.installed is not None


def tracers() -> list[Tracer]:
    """The pipelines in use: one for each set of processors that traces were made with."""
    installed = _switch.installed
    return [] if installed is None else installed.pipelines.tracers()


def stats() -> list[Stats]:
    """How they are doing."""
    return [tracer.stats() for tracer in tracers()]
