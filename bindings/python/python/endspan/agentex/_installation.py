"""One installation: what was replaced by what."""

from __future__ import annotations

import importlib
from typing import Any

from .. import metrics
from ._pipelines import Patches, Pipelines, import_or_none
from ._processors import Processors
from ._queue import Queues
from ._traces import Traces


class Installation:
    """The modules of the installed release, and the parts that replace pieces of them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        core = "agentex.lib.core.tracing"
        self.trace = importlib.import_module(f"{core}.trace")
        self.queue = importlib.import_module(f"{core}.span_queue")
        self.manager = importlib.import_module(f"{core}.tracing_processor_manager")
        self.sgp = importlib.import_module(f"{core}.processors.sgp_tracing_processor")
        self.agentex = importlib.import_module(f"{core}.processors.agentex_tracing_processor")
        self.facade = import_or_none("agentex.lib.adk._modules.tracing")
        self.span_class = importlib.import_module("agentex.types.span").Span
        self.patches = Patches()
        self.processors = Processors(self)
        self.pipelines = Pipelines(
            settings,
            {
                self.sgp.SGPSyncTracingProcessor: "sgp",
                self.sgp.SGPAsyncTracingProcessor: "sgp",
                self.agentex.AgentexSyncTracingProcessor: "agentex",
                self.agentex.AgentexAsyncTracingProcessor: "agentex",
            },
            self.processors.sgp_config,
        )
        self.has_metrics = False
        self.queues = Queues(self)
        self.traces = Traces(self)

    def install(self) -> None:
        self.traces.patch()
        self.processors.patch()
        self.queues.patch()
        self.processors.patch_manager()
        self.traces.patch_facade(self.facade)
        # Some other part of the program may have asked for instruments before.
        self.has_metrics = not metrics.installed() and metrics.install()

    def uninstall(self, timeout: float) -> None:
        self.patches.undo()
        self.processors.unpatch_manager()
        self.queues.stop()
        if self.has_metrics:
            metrics.uninstall()
        for tracer in self.pipelines.tracers():
            tracer.shutdown(timeout)
