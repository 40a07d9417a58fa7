"""What the scenarios share: the tracer provider, and the conversation that they all lead."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MODEL = "gpt-4o"
CLAUDE = "claude-sonnet-4-20250514"
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Returns the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def provider() -> TracerProvider:
    """Returns a provider that exports to the collector of the capture."""
    # Without the random id of the process, captures differ in less.
    resource = Resource({"service.name": "capture", "telemetry.sdk.language": "python"})
    tracer_provider = TracerProvider(resource=resource)
    endpoint = os.environ["CAPTURE_COLLECTOR"] + "/v1/traces"
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(tracer_provider)
    return tracer_provider


def get_weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"21 °C, sunny in {city}"


def openai_client() -> Any:
    import openai

    return openai.OpenAI(api_key="none", base_url=os.environ["CAPTURE_MODELS"] + "/v1", max_retries=0)


def anthropic_client() -> Any:
    import anthropic

    return anthropic.Anthropic(api_key="none", base_url=os.environ["CAPTURE_MODELS"], max_retries=0)


def openai_conversation() -> None:
    """A question with an image, a tool call, its result, a streamed answer, an embedding and an error."""
    client = openai_client()
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are terse."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": 'Weather in "Zürich"?\nSee picture.'},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        },
    ]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL], temperature=0.2)
    call = first.choices[0].message.tool_calls[0]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": get_weather("Zürich")})
    stream = client.chat.completions.create(
        model=MODEL, messages=messages, tools=[TOOL], stream=True, stream_options={"include_usage": True}
    )
    for _ in stream:
        pass
    client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    import openai

    broken = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9/v1", max_retries=0)
    try:
        broken.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}])
    except openai.APIConnectionError:
        pass


def anthropic_conversation() -> None:
    """A question, a tool call with thinking, its result and the answer, with cached input."""
    client = anthropic_client()
    function = TOOL["function"]
    tool = {
        "name": function["name"],
        "description": function["description"],
        "input_schema": function["parameters"],
    }
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather in Zürich?"}]
    arguments = {"model": CLAUDE, "max_tokens": 100, "system": "You are terse.", "tools": [tool]}
    first = client.messages.create(messages=messages, **arguments)
    messages.append({"role": "assistant", "content": [block.model_dump() for block in first.content]})
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": get_weather("Zürich")}
    messages.append({"role": "user", "content": [result]})
    client.messages.create(messages=messages, **arguments)
