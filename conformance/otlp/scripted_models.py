"""A loopback server that plays the model providers, and one that plays an OTLP collector.

The models answer from a script, so that instrumented programs run offline and always do the same. The
collector keeps the bodies of ``POST .../v1/traces`` as they came.
"""

from __future__ import annotations

import gzip
import itertools
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WEATHER_CALL = {
    "id": "call_weather_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'},
}
ANSWER = "It is 21 °C and sunny in Zürich."
REASONING = "The user asks for the weather, so I call the tool."


@dataclass
class Exchange:
    """A request that a server has seen."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Loopback:
    """A server on a free loopback port."""

    server: ThreadingHTTPServer
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def serve(answer: Any) -> Loopback:
    """Starts a server whose answers ``answer(exchange)`` gives as ``(content type, bytes)``."""
    loopback: Loopback

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            exchange = Exchange(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            content_type, content = answer(exchange)
            loopback.exchanges.append(exchange)
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loopback = Loopback(server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return loopback


def collector() -> Loopback:
    """Starts a collector that takes everything."""
    return serve(lambda exchange: (exchange.headers.get("content-type", "application/json"), b""))


def models() -> Loopback:
    """Starts the scripted models: OpenAI chat completions, responses and embeddings, Anthropic messages."""
    numbers = itertools.count(1)
    return serve(lambda exchange: answer_as_model(exchange, next(numbers)))


def answer_as_model(exchange: Exchange, number: int) -> tuple[str, bytes]:
    """Answers the server's request of this number."""
    request = json.loads(exchange.body or b"{}")
    path = exchange.path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return chat_completion(request, number)
    if path.endswith("/responses"):
        return responses(request, number)
    if path.endswith("/embeddings"):
        texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
        data = [
            {"object": "embedding", "index": index, "embedding": [0.25, -0.5, 0.125]}
            for index, _ in enumerate(texts)
        ]
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        return as_json({"object": "list", "data": data, "model": request["model"], "usage": usage})
    if path.endswith("/messages"):
        return anthropic_message(request, number)
    raise ValueError(f"no script for {path}")


def as_json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()


def as_events(events: list[tuple[str | None, Any]]) -> tuple[str, bytes]:
    lines = []
    for name, value in events:
        if name:
            lines.append(f"event: {name}")
        lines.append(f"data: {value if isinstance(value, str) else json.dumps(value)}\n")
    return "text/event-stream", ("\n".join(lines) + "\n").encode()


def wants_tool(request: dict[str, Any]) -> bool:
    """The model calls the tool once, as soon as it has one."""
    called = any(message.get("role") == "tool" for message in request["messages"])
    return bool(request.get("tools")) and not called


def chat_completion(request: dict[str, Any], number: int) -> tuple[str, bytes]:
    usage = {
        "prompt_tokens": 120,
        "completion_tokens": 30,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 0},
    }
    call = wants_tool(request)
    head = {"id": f"chatcmpl-{number}", "created": 1_700_000_000, "model": request["model"] + "-2024-08-06"}
    if not request.get("stream"):
        message = {"role": "assistant", "content": None if call else ANSWER, "refusal": None}
        if call:
            message["tool_calls"] = [WEATHER_CALL]
        finish = "tool_calls" if call else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return as_json(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
    chunk = head | {"object": "chat.completion.chunk"}
    deltas = [{"role": "assistant", "content": ""}]
    if call:
        deltas.append({"tool_calls": [{"index": 0} | WEATHER_CALL]})
    else:
        deltas += [{"content": ANSWER[:10]}, {"content": ANSWER[10:]}]
    events = [
        (None, chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None})
        for delta in deltas
    ]
    finish = "tool_calls" if call else "stop"
    events.append((None, chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    if (request.get("stream_options") or {}).get("include_usage"):
        events.append((None, chunk | {"choices": [], "usage": usage}))
    events.append((None, "[DONE]"))
    return as_events(events)


def responses(request: dict[str, Any], number: int) -> tuple[str, bytes]:
    items = request["input"] if isinstance(request["input"], list) else []
    called = any(item.get("type") == "function_call_output" for item in items)
    if request.get("tools") and not called:
        output = [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": REASONING}]},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": WEATHER_CALL["id"],
                "status": "completed",
                **WEATHER_CALL["function"],
            },
        ]
    else:
        text = {"type": "output_text", "text": ANSWER, "annotations": []}
        output = [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        ]
    usage = {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 150,
    }
    response = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": request["model"] + "-2024-08-06",
        "output": output,
        "usage": usage,
        "instructions": request.get("instructions"),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": request.get("tools") or [],
        "temperature": 1.0,
        "top_p": 1.0,
        "metadata": {},
        "error": None,
        "incomplete_details": None,
    }
    return as_json(response)


def anthropic_message(request: dict[str, Any], number: int) -> tuple[str, bytes]:
    contents = [message["content"] for message in request["messages"]]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    called = any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)
    if request.get("tools") and not called:
        content = [
            {"type": "thinking", "thinking": REASONING, "signature": "sig"},
            {"type": "text", "text": "I will look."},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Zürich"}},
        ]
        stop = "tool_use"
    else:
        content, stop = [{"type": "text", "text": ANSWER}], "end_turn"
    # Anthropic counts cached input beside input_tokens, not in it.
    usage = {
        "input_tokens": 20,
        "cache_read_input_tokens": 80,
        "cache_creation_input_tokens": 40,
        "output_tokens": 30,
    }
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }
    return as_json(message)
