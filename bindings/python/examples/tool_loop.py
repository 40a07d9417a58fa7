"""An agent that answers with tools, in the style of OpenAI's chat completions; its model is scripted, so it runs offline.

    SGP_API_KEY=... SGP_ACCOUNT_ID=... SGP_CLIENT_BASE_URL=http://127.0.0.1:5003 python examples/tool_loop.py

Each turn is a span; each call of the model and of a tool is a span below it, wherever it is made.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import endspan

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"city": {"type": "string"}}}}]


class ScriptedModel:
    """Answers like a chat completion: first with calls of tools, then with a text."""

    def __init__(self) -> None:
        self._turn = 0

    async def create(self, messages: list[dict[str, Any]], tools: list[Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        self._turn += 1
        if self._turn == 1:
            calls = [
                {"id": f"call-{city}", "function": {"name": name, "arguments": json.dumps({"city": city})}}
                for name, city in (("weather", "Berlin"), ("weather", "Atlantis"))
            ]
            message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": calls}
        else:
            known = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
            text = "; ".join(str(answer.get("weather", answer.get("error"))) for answer in known)
            message = {"role": "assistant", "content": text}
        return {"message": message, "usage": {"prompt_tokens": 10 * len(messages), "completion_tokens": 5}}


@endspan.traced("weather", span_type="EXTERNAL_ENDPOINT")
async def weather(city: str) -> dict[str, Any]:
    """A tool. Its span finds its parent by itself."""
    span = endspan.current_span()
    if span is not None:
        span.input = {"city": city}
    if city == "Atlantis":
        raise LookupError(f"no such city: {city}")
    answer = {"weather": f"sunny in {city}"}
    if span is not None:
        span.output = answer
    return answer


async def call(tool_call: dict[str, Any]) -> dict[str, Any]:
    """Calls a tool; what it raises is an answer, too."""
    arguments = json.loads(tool_call["function"]["arguments"])
    try:
        answer: dict[str, Any] = await weather(**arguments)
    except LookupError as error:
        answer = {"error": str(error)}
    return {"role": "tool", "tool_call_id": tool_call["id"], "content": json.dumps(answer)}


async def run(trace: endspan.Trace, question: str) -> str:
    """Runs one turn of the agent."""
    model = ScriptedModel()
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    async with trace.span("turn", input={"question": question}, span_type="AGENT_WORKFLOW") as turn:
        used = {"input_tokens": 0, "output_tokens": 0}
        while True:
            async with trace.span("chat", input={"messages": list(messages)}, span_type="COMPLETION") as chat:
                completion = await model.create(messages, TOOLS)
                chat.output = {"message": completion["message"], "usage": completion["usage"]}
            used["input_tokens"] += completion["usage"]["prompt_tokens"]
            used["output_tokens"] += completion["usage"]["completion_tokens"]
            messages.append(completion["message"])
            calls = completion["message"].get("tool_calls")
            if not calls:
                break
            messages += await asyncio.gather(*(call(of) for of in calls))
        turn.output = {"answer": messages[-1]["content"]}
        turn.record_usage(used, cost_usd=0.0001)
    return str(messages[-1]["content"])


def main() -> None:
    with endspan.Tracer() as tracer:
        print(asyncio.run(run(tracer.trace(str(uuid.uuid4())), "How is the weather in Berlin and in Atlantis?")))
        print(tracer.flush())


if __name__ == "__main__":
    main()
