"""The SGP and the Agentex processor, which become exporters of a pipeline; and their registry."""

from __future__ import annotations

import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ._pipelines import swallowed

if TYPE_CHECKING:
    from .._tracer import Tracer
    from ._installation import Installation


class Processors:
    """The patches of the processors of agentex-sdk, for programs that call them themselves, and of the registry."""

    def __init__(self, installation: Installation) -> None:
        self._of = installation
        self._lock_before: Any = None

    def sgp_config(self, processor: Any) -> Any:
        config = getattr(processor, "_config", None)
        if config is not None:
            return config
        # A synchronous processor of before the installation did not keep its config; its twin did.
        manager = self._of.manager.GLOBAL_TRACING_PROCESSOR_MANAGER
        for sync, asynchronous in zip(manager.sync_processors, manager.async_processors):
            if sync is processor:
                return getattr(asynchronous, "_config", None)
        return None

    def patch(self) -> None:
        processors, patches, of = self, self._of.patches, self._of

        def one(ended: bool) -> Any:
            def on_span(processor: Any, span: Any) -> None:
                processors._direct(processor, [span], ended)

            return on_span

        def one_async(ended: bool) -> Any:
            async def on_span(processor: Any, span: Any) -> None:
                processors._direct(processor, [span], ended)

            return on_span

        def many_async(ended: bool) -> Any:
            async def on_spans(processor: Any, spans: list[Any]) -> None:
                processors._direct(processor, spans, ended)

            return on_spans

        def shutdown(processor: Any) -> None:
            tracer = processors._pipeline_of(processor)
            if tracer is not None:
                tracer.flush()

        async def shutdown_async(processor: Any) -> None:
            tracer = processors._pipeline_of(processor)
            if tracer is not None:
                await tracer.flush_async()

        for module, sync, asynchronous in (
            (of.sgp, "SGPSyncTracingProcessor", "SGPAsyncTracingProcessor"),
            (of.agentex, "AgentexSyncTracingProcessor", "AgentexAsyncTracingProcessor"),
        ):
            sync_class, async_class = getattr(module, sync), getattr(module, asynchronous)
            patches.set(sync_class, "on_span_start", one(False))
            patches.set(sync_class, "on_span_end", one(True))
            patches.set(sync_class, "shutdown", shutdown)
            patches.set(async_class, "on_span_start", one_async(False))
            patches.set(async_class, "on_span_end", one_async(True))
            patches.set(async_class, "on_spans_start", many_async(False))
            patches.set(async_class, "on_spans_end", many_async(True))
            patches.set(async_class, "shutdown", shutdown_async)

        original = of.sgp.SGPAsyncTracingProcessor.__init__

        @functools.wraps(original)
        def init_async(processor: Any, config: Any) -> None:
            try:
                original(processor, config)
            except Exception:
                # Without AGENT_NAME or ACP_URL the reference refuses to begin. Spans need neither.
                processor.disabled = config.sgp_api_key == "" or config.sgp_account_id == ""
                processor._config = config
                processor._clients_by_loop = weakref.WeakKeyDictionary()
                processor.env_vars = None

        def init_sync(processor: Any, config: Any) -> None:
            # The reference begins scale-gp-beta's own queue here, one for the whole process.
            processor._config = config
            processor.env_vars = None

        patches.set(of.sgp.SGPAsyncTracingProcessor, "__init__", init_async)
        patches.set(of.sgp.SGPSyncTracingProcessor, "__init__", init_sync)

    def _pipeline_of(self, processor: Any) -> Tracer | None:
        if self._of.pipelines.types.get(type(processor)) is None:
            # A subclass of the program that calls its parent.
            for base in type(processor).__mro__:
                if base in self._of.pipelines.types:
                    stand_in: Any = object.__new__(base)
                    stand_in.__dict__.update(processor.__dict__)
                    return self._of.pipelines.split([stand_in])[0]
        return self._of.pipelines.split([processor])[0]

    def _direct(self, processor: Any, spans: list[Any], ended: bool) -> None:
        try:
            tracer = self._pipeline_of(processor)
            if tracer is not None:
                for span in spans:
                    tracer.submit_model(span, ended)
        except Exception:
            swallowed("a span could not be handed over")

    def patch_manager(self) -> None:
        """Lets ``set_processor_configs`` take the lock that ``add_processor_config`` takes again."""
        manager_class = self._of.manager.TracingProcessorManager
        original = manager_class.__init__

        def init(manager: Any) -> None:
            original(manager)
            manager.lock = threading.RLock()

        self._of.patches.set(manager_class, "__init__", init)
        manager = self._of.manager.GLOBAL_TRACING_PROCESSOR_MANAGER
        self._lock_before = manager.lock
        manager.lock = threading.RLock()

    def unpatch_manager(self) -> None:
        if self._lock_before is not None:
            self._of.manager.GLOBAL_TRACING_PROCESSOR_MANAGER.lock = self._lock_before
