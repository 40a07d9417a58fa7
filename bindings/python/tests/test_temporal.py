"""The drop-in under Temporal: workflows in Temporal's own worker, one replay for each task, as after every loss of its cache.

There is no server here (Temporal's test environments fetch theirs over the network): what it would do, keep a history and run
activities, is done by :class:`Server`. The worker is real, and refuses a workflow that does not behave as its history says.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from backend import Backend

pytest.importorskip("temporalio.worker")
facade = pytest.importorskip("agentex.lib.adk._modules.tracing")
activities = pytest.importorskip("agentex.lib.core.temporal.activities.adk.tracing_activities")

from agentex.lib.core.tracing import tracing_processor_manager  # noqa: E402
from agentex.lib.core.tracing.tracer import AsyncTracer  # noqa: E402
from agentex.lib.types.tracing import SGPTracingProcessorConfig  # noqa: E402
from google.protobuf.duration_pb2 import Duration  # noqa: E402
from temporalio import workflow  # noqa: E402
from temporalio.api.common.v1 import ActivityType, Payloads, WorkflowType  # noqa: E402
from temporalio.api.enums.v1 import EventType  # noqa: E402
from temporalio.api.history.v1 import HistoryEvent  # noqa: E402
from temporalio.api.taskqueue.v1 import TaskQueue  # noqa: E402
from temporalio.client import WorkflowHistory  # noqa: E402
from temporalio.contrib.pydantic import pydantic_data_converter as converter  # noqa: E402
from temporalio.testing import ActivityEnvironment  # noqa: E402
from temporalio.worker import (  # noqa: E402
    Interceptor,
    Replayer,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

import endspan.agentex  # noqa: E402

service = importlib.import_module("agentex.lib.core.services.adk.tracing")


@workflow.defn(name="agent")
class Agent:
    @workflow.run
    async def run(self) -> list[str]:
        tracing = facade.TracingModule(tracing_service=service.TracingService(tracer=AsyncTracer(None)))
        async with tracing.span(trace_id="t", name="turn", input={"a": 1}, task_id="task") as turn:
            async with tracing.span(trace_id="t", name="step", parent_id=turn.id) as step:
                step.output = {"b": 2}
            try:
                async with tracing.span(trace_id="t", name="broken", parent_id=turn.id):
                    raise ValueError("boom")
            except ValueError:
                pass
        return [turn.id, step.id]


class Server(Interceptor):
    """Keeps a workflow's history, and runs its activities, until the workflow is done."""

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []
        self.asked: list[tuple[str, Any]] = []
        self.done: list[Any] = []

    def add(self, kind: str, **attributes: Any) -> int:
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=EventType.Value(f"EVENT_TYPE_{kind.upper()}"))
        event.event_time.GetCurrentTime()
        message = getattr(event, f"{kind}_event_attributes")
        message.CopyFrom(type(message)(**attributes))
        self.events.append(event)
        return event.event_id

    def task(self) -> tuple[int, int]:
        scheduled = self.add("workflow_task_scheduled", task_queue=TaskQueue(name="q"))
        return scheduled, self.add("workflow_task_started", scheduled_event_id=scheduled)

    def workflow_interceptor_class(self, _: Any) -> type[WorkflowInboundInterceptor]:
        server = self

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: Any) -> Any:
                server.asked.append((input.activity, input.args[0]))
                return super().start_activity(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: Any) -> None:
                super().init(Outbound(outbound))

            async def execute_workflow(self, input: Any) -> Any:
                done = await super().execute_workflow(input)
                server.done.append(done)
                return done

        return Inbound

    async def activity(self, name: str, argument: Any) -> Any:
        """Runs an activity as a worker of its own would: what it is sent goes through the data converter."""
        worker = activities.TracingActivities(service.TracingService(tracer=AsyncTracer(None)))
        methods = {
            "start-span": (worker.start_span, activities.StartSpanParams),
            "end-span": (worker.end_span, activities.EndSpanParams),
        }
        method, parameters = methods[name]
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, activity_type=name)
        (sent,) = await converter.decode(await converter.encode([argument]), [parameters])
        return await environment.run(method, sent)

    async def run(self, backend: Backend) -> Any:
        self.add(
            "workflow_execution_started",
            workflow_type=WorkflowType(name="agent"),
            task_queue=TaskQueue(name="q"),
            original_execution_run_id="r",
            workflow_task_timeout=Duration(seconds=10),
            attempt=1,
        )
        for number in range(1, 20):
            scheduled, started = self.task()
            self.asked, self.done, before = [], [], len(backend.sgp)
            replayer = Replayer(
                workflows=[Agent],
                workflow_runner=UnsandboxedWorkflowRunner(),
                data_converter=converter,
                interceptors=[self],
            )
            await replayer.replay_workflow(WorkflowHistory("w", [*self.events]))
            # A replay writes nothing.
            flush()
            assert len(backend.sgp) == before
            if self.done:
                return self.done[-1]
            assert len(self.asked) == number, self.asked
            name, argument = self.asked[-1]
            name = getattr(name, "value", name)
            (gave,) = await converter.encode([await self.activity(name, argument)])
            flush()
            completed = self.add("workflow_task_completed", scheduled_event_id=scheduled, started_event_id=started)
            scheduled = self.add(
                "activity_task_scheduled",
                activity_id=str(number),
                activity_type=ActivityType(name=name),
                task_queue=TaskQueue(name="q"),
                workflow_task_completed_event_id=completed,
            )
            started = self.add("activity_task_started", scheduled_event_id=scheduled, attempt=1)
            self.add(
                "activity_task_completed",
                result=Payloads(payloads=[gave]),
                scheduled_event_id=scheduled,
                started_event_id=started,
            )
        raise AssertionError("the workflow goes on and on")


def flush() -> None:
    for tracer in endspan.agentex.tracers():
        report = tracer.flush(120)
        assert report.pending == 0 and report.dropped == 0, str(report)


@pytest.fixture(autouse=True)
def dropped_in(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AGENTEX_BASE_URL", backend.url)
    endspan.agentex.install(linger_ms=1)
    config = SGPTracingProcessorConfig(sgp_api_key="key", sgp_account_id="account", sgp_base_url=backend.url)
    tracing_processor_manager.add_tracing_processor_config(config)
    yield
    endspan.agentex.uninstall(5)
    manager = tracing_processor_manager.GLOBAL_TRACING_PROCESSOR_MANAGER
    manager.sync_processors.clear()
    manager.async_processors.clear()


def test_a_workflow_in_temporals_worker(backend: Backend) -> None:
    server = Server()
    turn, step = asyncio.run(server.run(backend))
    flush()
    items = {item["name"]: item for item in backend.sgp}
    assert len(backend.sgp) == 3 and set(items) == {"turn", "step", "broken"}
    assert items["turn"]["id"] == turn and items["step"]["id"] == step
    assert items["turn"]["input"] == {"a": 1} and items["step"]["output"] == {"b": 2}
    assert items["step"]["parent_id"] == items["broken"]["parent_id"] == turn
    assert items["broken"]["status"] == "ERROR"
    assert items["broken"]["metadata"]["__error__"]["message"] == "boom"
