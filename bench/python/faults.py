"""Loss cases from Python: what of an agent's spans arrives when things go wrong, and whether the account closes.

    python bench/python/faults.py [--quick] [--drop-in] [case ...]

Each agent is a process of its own with a spool of its own, and makes spans with endspan's API, or with `--drop-in` with
agentex-sdk's tracer under `endspan.agentex.install()`. The backend runs here, and counts distinct spans. Exit code 1 when more
is lost than the table says, or when an account does not close: every span is delivered, or in an account under the reason for
which it is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

INPUT = {"messages": [{"role": "user", "content": "why is the sky blue?"}]}


class Backend:
    """SGP's batches on a port of this machine: keeps what it takes, and fails as told."""

    def __init__(self, listening: bool = True) -> None:
        self.stored: set[str] = set()
        self.requests = 0
        self.status = 200
        self.latency = 0.0
        # A request with a span of this name is refused.
        self.refused_name: str | None = None
        self._lock = threading.Lock()
        self._socket = socket.socket()
        # Bound and not listening: the port is taken, and connections are refused.
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        if listening:
            self.listen()

    def listen(self) -> None:
        self._socket.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # A thread that waits for connections does not see its socket closed.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A process that is killed resets its connections.
        with client, contextlib.suppress(ConnectionError):
            reader = client.makefile("rb")
            while reader.readline():
                length = 0
                while (header := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                status = self._take(reader.read(length))
                client.sendall(
                    b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}" % status
                )

    def _take(self, body: bytes) -> int:
        time.sleep(self.latency)
        items = json.loads(body)["items"] if body else []
        with self._lock:
            self.requests += 1
            if self.status != 200:
                return self.status
            if any(item["name"] == self.refused_name for item in items):
                return 422
            self.stored.update(item["id"] for item in items)
            return 200


@dataclass
class Outcome:
    """What a case came to."""

    made: int
    stored: int
    account: str
    # What the accounts of the processes that could give one say was not delivered, and why.
    dropped: dict[str, int]
    spooled: int
    conserved: bool

    @property
    def lost(self) -> int:
        return self.made - self.stored

    @property
    def closes(self) -> bool:
        """Whether the accounts close, and say of every span that is missing why it is."""
        return self.conserved and self.lost == sum(self.dropped.values()) + self.spooled


@dataclass
class Scene:
    """A backend, a spool, and the agents of one case."""

    backend: Backend
    spool: str
    drop_in: bool
    quick: bool

    def start(self, url: str, spans: int, rate: int, end: str) -> subprocess.Popen[str]:
        """Starts an agent, and waits until its last span has ended."""
        ours = ("AGENTEX_", "SGP_", "AGENT_", "ACP_", "ENDSPAN_", "OTEL_", "DD_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        command = [sys.executable, __file__, "--agent", url, self.spool, str(spans), str(rate), end]
        if self.drop_in:
            command.append("--drop-in")
        agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert agent.stdout is not None
        line = agent.stdout.readline()
        if line != "ended\n":
            agent.kill()
            raise RuntimeError(f"the agent died early: {line!r}")
        return agent

    def finish(self, url: str, spans: int, rate: int = 0, end: str = "shutdown") -> list[dict[str, Any]]:
        """Lets an agent run to its end; returns the accounts that it printed."""
        agent = self.start(url, spans, rate, end)
        out, _ = agent.communicate()
        if agent.returncode != 0:
            raise RuntimeError(f"the agent failed with {agent.returncode}")
        return [json.loads(line) for line in out.splitlines()]

    def outcome(self, made: int, accounts: list[dict[str, Any]], note: str = "") -> Outcome:
        dropped: dict[str, int] = {}
        for account in accounts:
            for reason, count in account["dropped"].items():
                dropped[reason] = dropped.get(reason, 0) + count
        said = "; ".join(account["says"] for account in accounts)
        return Outcome(
            made,
            len(self.backend.stored),
            f"{note}{said}",
            dropped,
            sum(account["spooled"] for account in accounts[-1:]),
            all(account["conserved"] for account in accounts),
        )


def sigkill(scene: Scene) -> Outcome:
    made = 500 if scene.quick else 5000
    agent = scene.start(scene.backend.url, made, 0, "hang")
    agent.send_signal(signal.SIGKILL)
    agent.communicate()
    before = len(scene.backend.stored)
    return scene.outcome(made, scene.finish(scene.backend.url, 0), f"{before} before the kill; restart: ")


def unavailable(scene: Scene) -> Outcome:
    made, outage = (200, 0.5) if scene.quick else (4000, 10.0)
    scene.backend.status = 503

    def heal() -> None:
        scene.backend.status = 200

    threading.Timer(outage, heal).start()
    return scene.outcome(made, scene.finish(scene.backend.url, made, 200))


def refused_connections(scene: Scene) -> Outcome:
    made, outage = (200, 0.5) if scene.quick else (4000, 10.0)
    scene.backend = Backend(listening=False)
    threading.Timer(outage, scene.backend.listen).start()
    return scene.outcome(made, scene.finish(scene.backend.url, made, 200))


def poison(scene: Scene) -> Outcome:
    made = 1000
    scene.backend.refused_name = "step-500"
    accounts = scene.finish(scene.backend.url, made)
    return scene.outcome(made, accounts, f"{scene.backend.requests} requests; ")


def shutdown(scene: Scene) -> Outcome:
    made, scene.backend.latency = (2000, 0.2) if scene.quick else (10_000, 1.0)
    return scene.outcome(made, scene.finish(scene.backend.url, made))


def leave(scene: Scene) -> Outcome:
    made, scene.backend.latency = (2000, 0.1) if scene.quick else (10_000, 0.15)
    scene.finish(scene.backend.url, made, 0, "exit")
    before = len(scene.backend.stored)
    return scene.outcome(made, scene.finish(scene.backend.url, 0), f"{before} at the exit; next start: ")


@dataclass(frozen=True)
class Case:
    """A row of the table: what happens, how many spans may be lost at most, and what peers lose."""

    what: str
    run: Callable[[Scene], Outcome]
    expected: int
    peers: str


CASES = {
    "sigkill": Case("SIGKILL right after the last span, then a restart", sigkill, 0, "100 / 904 / 20"),
    "503": Case("backend answers 503 for 10 s, 200 spans/s", unavailable, 0, "1,762 / 512 / 25"),
    "refused": Case("backend refuses connections for 10 s, 200 spans/s", refused_connections, 0, "1,742 / 512 / 27"),
    "poison": Case("one refused span in 1,000", poison, 1, "100 / 512 / 1"),
    "shutdown": Case("shutdown with 10,000 queued, 1,000 ms a request, 30 s", shutdown, 0, "700 / – / –"),
    "exit": Case("exit without shutdown, 10,000 queued, 150 ms a request", leave, 0, "5,400 / 5,904 / 0"),
}


@contextlib.contextmanager
def scene(drop_in: bool = False, quick: bool = False) -> Iterator[Scene]:
    """A backend and a spool that are gone afterwards."""
    with tempfile.TemporaryDirectory() as spool:
        made = Scene(Backend(), spool, drop_in, quick)
        try:
            yield made
        finally:
            made.backend.close()


def agent(url: str, spool: str, spans: int, rate: int, end: str, drop_in: bool) -> None:
    tracers, one = drop_in_agent(url, spool) if drop_in else native_agent(url, spool)
    begun = time.monotonic()
    for number in range(spans):
        if rate:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        one(f"step-{number}")
    print("ended", flush=True)
    if end == "hang":
        time.sleep(600)
    if end == "shutdown":
        for tracer in tracers():
            report = tracer.shutdown(30)
            for account in report.accounts:
                print(
                    json.dumps(
                        {
                            "dropped": account.dropped,
                            "spooled": account.spooled,
                            "conserved": account.is_conserved and account.pending == 0,
                            "says": str(report),
                        }
                    ),
                    flush=True,
                )


def native_agent(url: str, spool: str) -> tuple[Callable[[], list[Any]], Callable[[str], None]]:
    import endspan

    tracer = endspan.Tracer([endspan.SGPExporter("key", "account", url)], spool=True, spool_dir=spool)
    trace = tracer.trace("faults")

    def one(name: str) -> None:
        with trace.span(name, input=INPUT):
            pass

    return lambda: [tracer], one


def drop_in_agent(url: str, spool: str) -> tuple[Callable[[], list[Any]], Callable[[str], None]]:
    import asyncio

    os.environ.update(AGENT_NAME="bench", ACP_URL="http://127.0.0.1:9", LITELLM_LOCAL_MODEL_COST_MAP="True")
    import endspan.agentex

    endspan.agentex.install(spool=True, spool_dir=spool)
    from agentex.lib.core.tracing import AsyncTracer
    from agentex.lib.core.tracing.tracing_processor_manager import add_tracing_processor_config
    from agentex.lib.types.tracing import SGPTracingProcessorConfig

    add_tracing_processor_config(
        SGPTracingProcessorConfig(sgp_api_key="key", sgp_account_id="account", sgp_base_url=url)
    )
    trace = AsyncTracer(None).trace("faults")  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()

    async def whole(name: str) -> None:
        async with trace.span(name, input=INPUT):
            pass

    # Without a span nobody asks for a pipeline, and nobody takes over what a dead process left.
    endspan.agentex._switch.installed.pipelines.split(trace.processors)  # type: ignore[union-attr]
    return endspan.agentex.tracers, lambda name: loop.run_until_complete(whole(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--quick", action="store_true", help="fewer spans and shorter outages")
    parser.add_argument("--drop-in", action="store_true", help="agentex-sdk's tracer")
    parser.add_argument("--agent", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.agent:
        url, spool, spans, rate, end = arguments.agent
        agent(url, spool, int(spans), int(rate), end, arguments.drop_in)
        return
    print("| case | spans | lost | to reach | reference / OpenTelemetry / best peer | account |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = False
    for name in arguments.cases or CASES:
        case = CASES[name]
        with scene(arguments.drop_in, arguments.quick) as made:
            outcome = case.run(made)
        account = outcome.account if outcome.closes else f"DOES NOT CLOSE: {outcome.account}"
        print(
            f"| {case.what} | {outcome.made:,} | {outcome.lost:,} | {case.expected:,} | {case.peers} | {account} |",
            flush=True,
        )
        failed |= not outcome.closes or outcome.lost > case.expected
    sys.exit(failed)


if __name__ == "__main__":
    main()
