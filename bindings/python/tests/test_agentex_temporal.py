"""The drop-in under Temporal, without a server and without its worker: activities, and what crosses the border to them."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest
from backend import Backend

pytest.importorskip("agentex.lib.core.tracing.trace")

from agentex.lib.core.tracing.tracer import AsyncTracer  # noqa: E402

from agentex_drop_in import dropped_in, flush, register  # noqa: E402, F401


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A workflow without a server: its activities run in Temporal's own test environment, and what crosses the border
    goes through its data converter, as between two workers."""
    import dataclasses
    from datetime import timedelta

    pytest.importorskip("temporalio")
    from temporalio import workflow
    from temporalio.contrib.pydantic import pydantic_data_converter as converter
    from temporalio.testing import ActivityEnvironment

    facade = pytest.importorskip("agentex.lib.adk._modules.tracing")
    activities = pytest.importorskip("agentex.lib.core.temporal.activities.adk.tracing_activities")
    service = importlib.import_module("agentex.lib.core.services.adk.tracing")
    types = {"start-span": activities.StartSpanParams, "end-span": activities.EndSpanParams}

    async def execute_activity(activity: str, arg: Any, **options: Any) -> Any:
        assert options["start_to_close_timeout"] <= timedelta(seconds=5)
        name = getattr(activity, "value", activity)
        # Each activity may run in a process of its own: it has a service of its own, and a copy of what it was sent.
        worker = activities.TracingActivities(service.TracingService(tracer=AsyncTracer(None)))
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, activity_type=name)
        (sent,) = await converter.decode(await converter.encode([arg]), [types[name]])
        gave = await environment.run({"start-span": worker.start_span, "end-span": worker.end_span}[name], sent)
        (got,) = await converter.decode(await converter.encode([gave]), [dict])
        return got

    monkeypatch.setattr(facade, "in_temporal_workflow", lambda: True)
    monkeypatch.setattr(workflow, "execute_activity", execute_activity)
    module = facade.TracingModule(tracing_service=service.TracingService(tracer=AsyncTracer(None)))
    return module, ActivityEnvironment, facade, monkeypatch


def test_temporal_workflows_trace_through_activities(backend: Backend, temporal: Any) -> None:
    register(backend)
    module, *_ = temporal

    async def workflow() -> None:
        async with module.span(trace_id="t", name="turn", input={"a": 1}, task_id="task") as turn:
            async with module.span(trace_id="t", name="step", parent_id=turn.id) as step:
                step.output = {"b": 2}
            with pytest.raises(ValueError):
                async with module.span(trace_id="t", name="broken", parent_id=turn.id):
                    raise ValueError("boom")

    asyncio.run(workflow())
    flush()
    items = {item["name"]: item for item in backend.sgp}
    assert len(backend.sgp) == 3 and set(items) == {"turn", "step", "broken"}
    assert items["turn"]["input"] == {"a": 1} and items["step"]["output"] == {"b": 2}
    assert items["step"]["parent_id"] == items["broken"]["parent_id"] == items["turn"]["id"]
    assert items["broken"]["metadata"]["__error__"]["message"] == "boom"
    assert all(item["start_timestamp"] <= item["end_timestamp"] for item in backend.sgp)


def test_business_activities_trace_directly(backend: Backend, temporal: Any) -> None:
    register(backend)
    module, environment, facade, monkeypatch = temporal
    monkeypatch.setattr(facade, "in_temporal_workflow", lambda: False)

    async def business() -> str:
        async with module.span(trace_id="t", name="outer") as outer:
            async with module.span(trace_id="t", name="inner", parent_id=outer.id) as inner:
                inner.output = {"b": 2}
        return str(outer.id)

    outer = asyncio.run(environment().run(business))
    flush()
    parents = {item["name"]: item.get("parent_id") for item in backend.sgp}
    assert parents == {"outer": None, "inner": outer}
