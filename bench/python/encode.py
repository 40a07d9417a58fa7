"""Encoding alone: endspan's encoder beside orjson and json, on the same objects."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import endspan
from payloads import SIZES, half


def costs(encoders: dict[str, Callable[[Any], Any]], value: Any) -> dict[str, float]:
    """Median microseconds of one call of each encoder. They take turns, so that a slow moment of the machine meets all of them."""
    samples: dict[str, list[float]] = {name: [] for name in encoders}
    calls = max(1, 200_000 // len(json.dumps(value)))
    for _ in range(101):
        for name, function in encoders.items():
            begun = time.perf_counter_ns()
            for _ in range(calls):
                function(value)
            samples[name].append((time.perf_counter_ns() - begun) / calls / 1000)
    return {name: statistics.median(of) for name, of in samples.items()}


def main() -> None:
    encoders: dict[str, Callable[[Any], Any]] = {"endspan": endspan.encode_json, "json": json.dumps}
    try:
        import orjson

        encoders["orjson"] = orjson.dumps
    except ImportError:
        pass
    records = {"rows": [{"id": n, "score": n / 7, "ok": n % 2 == 0, "tags": ["a", "b"], "x": None} for n in range(1000)]}
    values = {f"chat {name}": half(size, 1) for name, size in SIZES.items()} | {"records": records}
    print("| value | " + " | ".join(f"{name} µs" for name in encoders) + " | endspan to orjson |")
    print("|---|" + "---|" * len(encoders) + "---|")
    for name, value in values.items():
        measured = costs(encoders, value)
        ratio = f"{measured['endspan'] / measured['orjson']:.2f}" if "orjson" in measured else "–"
        print(f"| {name} | " + " | ".join(f"{cost:.3f}" for cost in measured.values()) + f" | {ratio} |")


if __name__ == "__main__":
    main()
