"""What a span costs its caller, and how fast spans arrive: each tracer in processes of its own, same payloads.

    python bench/python/spans.py [--variants endspan,otel] [--payloads small,medium,large] [--runs 3] [--cases hot,burst]

Peers may live in an environment of their own: `--python ENVIRONMENT/bin/python --variants langfuse,langsmith`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import mmap
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from payloads import SIZES, pair

FLOORS = ["none", "orjson"]
# A peer that hangs must not stop the others.
CHILD_SECONDS = 300
VARIANTS = [*FLOORS, "endspan", "endspan-memory", "dropin", "agentex", "otel", "langfuse", "langsmith"]
CASES = ["setup", "loop", "hot", "burst"]
BURST = {"small": 20_000, "medium": 5_000, "large": 1_000}
HOT = 2_000
COLUMNS = {
    "median": ("span median µs", ",.1f"),
    "p99": ("p99 µs", ",.1f"),
    "floor": ("orjson between them, median µs", ",.1f"),
    "floor_p99": ("p99 µs", ",.1f"),
    "stall": ("longest stall ms", ",.1f"),
    "rate": ("spans/s", ",.0f"),
    "cpu": ("CPU s per 1,000", ".4f"),
    "fresh": ("fresh memory MB/s", ",.0f"),
    "loop": ("back to back µs", ",.2f"),
    "setup": ("set-up ms", ",.0f"),
    "memory": ("MB", ",.1f"),
}

# A span of a variant: coroutine of one whole span, and what to call when all are made.
Variant = tuple[Callable[[Any, Any], Any], Callable[[], Any]]


def serve() -> None:
    """The backend: answers 200 to everything, and counts spans by a word that each has once."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(server.getsockname()[1], flush=True)

    def connection(client: socket.socket) -> None:
        # A process that ends may reset its connections.
        with contextlib.suppress(ConnectionError):
            answer_all(client)

    def answer_all(client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = client.makefile("rb", buffering=1 << 20)
        answer = b'{"items":[]}'
        while line := reader.readline():
            length = 0
            while (header := reader.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            reader.read(length)
            kind = b"application/x-protobuf" if b"/v1/traces" in line else b"application/json"
            body = b"" if b"/v1/traces" in line else answer
            client.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind, len(body), body)
            )

    while True:
        client, _ = server.accept()
        threading.Thread(target=connection, args=(client,), daemon=True).start()


def make(variant: str, url: str) -> Variant:
    if variant == "none":

        async def one_of_nothing(given: Any, gave: Any) -> None:
            pass

        return one_of_nothing, lambda: None
    if variant == "orjson":
        import orjson

        async def one_of_orjson(given: Any, gave: Any) -> None:
            orjson.dumps(given)
            orjson.dumps(gave)

        return one_of_orjson, lambda: None
    if variant.startswith("endspan"):
        import endspan

        tracer = endspan.Tracer(
            [endspan.SGPExporter("key", "account", url)], spool=variant == "endspan", max_queue_size=0
        )
        trace = tracer.trace("trace-1")

        async def one(given: Any, gave: Any) -> None:
            with trace.span("step", input=given) as span:
                span.output = gave

        def done() -> None:
            report = tracer.flush(60)
            if not report.is_complete:
                # Without a spool, what is more than the bound of memory is dropped, and counted.
                print(f"LOST {report}", flush=True)

        return one, done
    if variant in ("dropin", "agentex"):
        os.environ.update(AGENT_NAME="bench", ACP_URL="http://127.0.0.1:9", LITELLM_LOCAL_MODEL_COST_MAP="True")
        os.environ["AGENTEX_TRACING_METRICS"] = "0"
        from agentex.lib.core.tracing import AsyncTracer, shutdown_default_span_queue
        from agentex.lib.core.tracing.tracing_processor_manager import add_tracing_processor_config
        from agentex.lib.types.tracing import SGPTracingProcessorConfig

        if variant == "dropin":
            import endspan.agentex

            endspan.agentex.install()
        config = SGPTracingProcessorConfig(sgp_api_key="key", sgp_account_id="account", sgp_base_url=url)
        add_tracing_processor_config(config)
        tracer_of_agentex = AsyncTracer(None)  # type: ignore[arg-type]

        async def one_of_agentex(given: Any, gave: Any) -> None:
            trace = tracer_of_agentex.trace("trace-1")
            span = await trace.start_span("step", input=given)
            span.output = gave
            await trace.end_span(span)

        return one_of_agentex, lambda: shutdown_default_span_queue(60)
    if variant == "otel":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider()
        exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=200_000))
        otel = provider.get_tracer("bench")

        async def one_of_otel(given: Any, gave: Any) -> None:
            with otel.start_as_current_span("step", attributes={"input.value": json.dumps(given)}) as span:
                span.set_attribute("output.value", json.dumps(gave))

        return one_of_otel, lambda: provider.force_flush(60_000)
    if variant == "langfuse":
        from langfuse import Langfuse

        langfuse = Langfuse(public_key="pk", secret_key="sk", host=url)
        begin = getattr(langfuse, "start_as_current_observation", None) or langfuse.start_as_current_span

        async def one_of_langfuse(given: Any, gave: Any) -> None:
            with begin(name="step", input=given) as span:
                span.update(output=gave)

        return one_of_langfuse, langfuse.flush
    if variant == "langsmith":
        os.environ["LANGSMITH_TRACING"] = "true"
        import langsmith

        client = langsmith.Client(api_url=url, api_key="key")

        async def one_of_langsmith(given: Any, gave: Any) -> None:
            with langsmith.trace("step", "chain", inputs=given, client=client) as run:
                run.end(outputs=gave)

        return one_of_langsmith, client.flush
    raise SystemExit(f"no variant {variant}")


def resident() -> float:
    """Megabytes of this process that are in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


async def setup(variant: str, url: str) -> dict[str, float]:
    """Import, set-up and a first span."""
    memory, begun = resident(), time.perf_counter()
    one, _ = make(variant, url)
    await one({}, {})
    return {"setup": (time.perf_counter() - begun) * 1000, "memory": resident() - memory}


def between(payload: str) -> Callable[[], Any] | None:
    """What is done half-way between two spans, to see what the machine is like at that moment: `orjson.dumps` of payloads of its
    own. `None` without orjson."""
    try:
        import orjson
    except ImportError:
        return None
    given, gave = pair(payload)

    def floor() -> None:
        orjson.dumps(given)
        orjson.dumps(gave)

    return floor


async def hot(one: Any, payload: str) -> dict[str, float]:
    given, gave = pair(payload)
    floor = between(payload)
    costs: list[float] = []
    floors: list[float] = []
    stalls: list[float] = []
    running = True

    async def ticker() -> None:
        last = time.perf_counter()
        while running:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            stalls.append(now - last - 0.001)
            last = now

    task = asyncio.create_task(ticker())
    for _ in range(50):
        await one(given, gave)
    await asyncio.sleep(0.5)
    stalls.clear()
    for _ in range(HOT):
        begun = time.perf_counter_ns()
        await one(given, gave)
        costs.append((time.perf_counter_ns() - begun) / 1000)
        await asyncio.sleep(0.0025)
        if floor is not None:
            begun = time.perf_counter_ns()
            floor()
            floors.append((time.perf_counter_ns() - begun) / 1000)
        await asyncio.sleep(0.0025)
    running = False
    await task
    costs.sort()
    floors.sort()
    measured = {"median": costs[HOT // 2], "p99": costs[HOT * 99 // 100], "stall": max(stalls) * 1000}
    if floors:
        measured |= {"floor": floors[HOT // 2], "floor_p99": floors[HOT * 99 // 100]}
    return measured


async def loop(one: Any, payload: str) -> dict[str, float]:
    """Spans back to back in rounds of 100: the best round's median, which other work on the machine disturbs least."""
    given, gave = pair(payload)
    medians = []
    for _ in range(20):
        costs = []
        for _ in range(100):
            begun = time.perf_counter_ns()
            await one(given, gave)
            costs.append((time.perf_counter_ns() - begun) / 1000)
        medians.append(statistics.median(costs))
        await asyncio.sleep(0.05)
    return {"loop": min(medians)}


async def burst(one: Any, done: Any, payload: str) -> dict[str, float]:
    given, gave = pair(payload)
    count = BURST[payload]
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    for number in range(count):
        await one(given, gave)
        if number % 100 == 0:
            await asyncio.sleep(0)
    waiting = done()
    if asyncio.iscoroutine(waiting):
        await waiting
    took = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"rate": count / took, "cpu": cpu / count * 1000, "fresh": fresh_memory(count * SIZES[payload])}


def fresh_memory(size: int) -> float:
    """Megabytes a second at which memory that the system has to find first is written: as much as the burst's payloads."""
    page = bytes(1 << 16)
    with mmap.mmap(-1, max(size, 8 << 20)) as memory:
        begun = time.perf_counter()
        for at in range(0, len(memory) - len(page) + 1, len(page)):
            memory[at : at + len(page)] = page
        return len(memory) / 1e6 / (time.perf_counter() - begun)


def child(variant: str, case: str, payload: str, url: str) -> None:
    if case == "setup":
        print("RESULT " + json.dumps(asyncio.run(setup(variant, url))), flush=True)
        os._exit(0)
    one, done = make(variant, url)
    if case == "hot":
        result = asyncio.run(hot(one, payload))
    elif case == "loop":
        result = asyncio.run(loop(one, payload))
    else:
        result = asyncio.run(burst(one, done, payload))
    print("RESULT " + json.dumps(result), flush=True)
    os._exit(0)


def run(python: str, variant: str, case: str, payload: str, url: str) -> dict[str, float] | None:
    with tempfile.TemporaryDirectory() as spool:
        command = [python, __file__, "--child", variant, case, payload, url]
        environment = {**os.environ, "ENDSPAN_SPOOL_DIR": spool}
        try:
            process = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=CHILD_SECONDS
            )
        except subprocess.TimeoutExpired:
            print(f"{variant} {case} {payload}: not done after {CHILD_SECONDS} s", file=sys.stderr)
            return None
    for line in process.stdout.splitlines():
        if line.startswith("LOST "):
            print(f"{variant} {case} {payload}: {line[5:]}", file=sys.stderr)
        if line.startswith("RESULT "):
            return dict(json.loads(line[7:]))
    print(f"{variant} {case} {payload}: {process.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--payloads", default=",".join(SIZES))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
    if arguments.child:
        child(*arguments.child)
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    print("| variant, payload | " + " | ".join(title for title, _ in COLUMNS.values()) + " |")
    print("|---|" + "---|" * len(COLUMNS), flush=True)
    try:
        for payload in arguments.payloads.split(","):
            results: dict[str, dict[str, list[float]]] = {}
            # In turn, so that a noisy minute hits all of them.
            for _ in range(arguments.runs):
                for variant in arguments.variants.split(","):
                    for case in arguments.cases.split(","):
                        # What is no tracer delivers nothing.
                        if variant in FLOORS and case in ("setup", "burst"):
                            continue
                        for key, value in (run(arguments.python, variant, case, payload, url) or {}).items():
                            results.setdefault(variant, {}).setdefault(key, []).append(value)
            for variant, values in results.items():
                median = {key: statistics.median(of) for key, of in values.items()}
                cells = [
                    format(median[key], form) if key in median else "–" for key, (_, form) in COLUMNS.items()
                ]
                print(f"| {variant}, {payload} | {' | '.join(cells)} |", flush=True)
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
