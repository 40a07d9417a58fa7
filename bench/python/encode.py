"""Encoding alone: endspan's encoder beside orjson and json, on the same objects."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import endspan
from payloads import SIZES, half


def cost(function: Callable[[Any], Any], value: Any) -> float:
    """Median microseconds of one call."""
    samples = []
    calls = max(1, 200_000 // len(json.dumps(value)))
    for _ in range(31):
        begun = time.perf_counter_ns()
        for _ in range(calls):
            function(value)
        samples.append((time.perf_counter_ns() - begun) / calls / 1000)
    return statistics.median(samples)


def main() -> None:
    encoders: dict[str, Callable[[Any], Any]] = {"endspan": endspan.encode_json, "json": json.dumps}
    try:
        import orjson

        encoders["orjson"] = orjson.dumps
    except ImportError:
        pass
    records = {"rows": [{"id": n, "score": n / 7, "ok": n % 2 == 0, "tags": ["a", "b"], "x": None} for n in range(1000)]}
    values = {f"chat {name}": half(size, 1) for name, size in SIZES.items()} | {"records": records}
    print("| value | " + " | ".join(f"{name} µs" for name in encoders) + " |")
    print("|---|" + "---|" * len(encoders))
    for name, value in values.items():
        print(f"| {name} | " + " | ".join(f"{cost(encoder, value):.2f}" for encoder in encoders.values()) + " |")


if __name__ == "__main__":
    main()
