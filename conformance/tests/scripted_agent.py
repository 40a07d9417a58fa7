"""The agent that the tracer suites run: a turn with a call to a model, a tool that fails, and a retrieval."""

from __future__ import annotations

import contextlib
from typing import Any


class ToolFailed(Exception):
    """What the failing tool raises."""


def describe(span: Any) -> dict:
    """Returns what a span holds now, as the Agentex API shows it."""
    names = ("id", "trace_id", "task_id", "parent_id", "name", "start_time", "end_time", "input", "output", "data")
    return span.model_copy(deep=True).model_dump(include=set(names))


def run_sync(trace: Any, records_errors: bool) -> list[dict]:
    spans = []
    with trace.span("turn", input={"messages": [{"role": "user", "content": "hello"}]}, task_id="task-9") as turn:
        with trace.span("model", parent_id=turn.id, input={"n": 2**70}, data={"__span_type__": "COMPLETION"}) as model:
            model.output = {"content": "naïve ☃", "usage": {"input_tokens": 5, "output_tokens": 7}}
        spans.append(model)
        with contextlib.suppress(ToolFailed):
            with trace.span("tool", parent_id=turn.id, input={"arguments": {"path": "/tmp/x"}}) as tool:
                raise ToolFailed("no such file")
        spans.append(tool)
        with trace.span("retrieve", parent_id=turn.id, input={"query": "snow"}) as retrieval:
            retrieval.output = {"documents": [{"score": 0.25, "text": "a"}, {"score": 1.0, "text": "b"}]}
        spans.append(retrieval)
        turn.input["messages"].append({"role": "assistant", "content": "hi"})
        turn.output = {"final": True}
    spans.append(turn)
    return finish(spans, records_errors)


async def run_async(trace: Any, records_errors: bool) -> list[dict]:
    spans = []
    async with trace.span("turn", input={"messages": [{"role": "user", "content": "hello"}]}, task_id="task-9") as turn:
        async with trace.span("model", parent_id=turn.id, input={"n": 2**70}, data={"__span_type__": "COMPLETION"}) as model:
            model.output = {"content": "naïve ☃", "usage": {"input_tokens": 5, "output_tokens": 7}}
        spans.append(model)
        with contextlib.suppress(ToolFailed):
            async with trace.span("tool", parent_id=turn.id, input={"arguments": {"path": "/tmp/x"}}) as tool:
                raise ToolFailed("no such file")
        spans.append(tool)
        async with trace.span("retrieve", parent_id=turn.id, input={"query": "snow"}) as retrieval:
            retrieval.output = {"documents": [{"score": 0.25, "text": "a"}, {"score": 1.0, "text": "b"}]}
        spans.append(retrieval)
        turn.input["messages"].append({"role": "assistant", "content": "hi"})
        turn.output = {"final": True}
    spans.append(turn)
    return finish(spans, records_errors)


def finish(spans: list[Any], records_errors: bool) -> list[dict]:
    described = [describe(span) for span in spans]
    assert len(spans[-1].input["messages"]) == 2
    if records_errors:
        error = described[1]["data"]["__error__"]
        assert (error["type"], error["message"]) == ("ToolFailed", "no such file")
    return described
