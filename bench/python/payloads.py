"""Chat-like payloads of about the same size as text."""

from __future__ import annotations

import json
import random
from typing import Any

SIZES = {"small": 300, "medium": 10_000, "large": 100_000}
_WORDS = "the agent reads a question, thinks about tools and answers — with care, \"quoted\" and plain".split()


def half(size: int, seed: int) -> dict[str, Any]:
    """One half of a span's payloads: an input or an output of about `size` bytes."""
    random_ = random.Random(seed)
    messages: list[dict[str, Any]] = []
    value: dict[str, Any] = {"model": "m-1", "messages": messages, "temperature": 0.2}
    while (missing := size - len(json.dumps(value, ensure_ascii=False).encode())) > 60:
        length = min(missing - 50, 1000)
        text = ""
        while len(text) < length:
            text += random_.choice(_WORDS) + " "
        messages.append({"role": random_.choice(["user", "assistant"]), "content": text[:length], "n": len(messages)})
    return value


def pair(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Input and output of a span."""
    return half(SIZES[name] // 2, 1), half(SIZES[name] // 2, 2)
