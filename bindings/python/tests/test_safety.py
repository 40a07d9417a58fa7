"""However a process lives and dies: produced = delivered + spooled + reported.

Each case is a program of its own, run against a backend of this one. The programs use the few functions of `PRELUDE`
only, so that the suite can be pointed at another tracer by writing another prelude.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import pytest
from program import Case

import endspan


def test_no_event_loop_and_no_shutdown(case: Case) -> None:
    case.run(
        """
        trace = make().trace("t")
        for n in range(500):
            span(trace, f"s{n}"); said(f"s{n}")
        """
    )
    case.complete()


def test_many_loops_in_turn(case: Case) -> None:
    case.run(
        """
        import asyncio
        trace = make().trace("t")
        async def main(k):
            async def work(n):
                async with trace.span(f"{k}-{n}"):
                    await asyncio.sleep(0)
                said(f"{k}-{n}")
            await asyncio.gather(*(work(n) for n in range(20)))
        for k in range(10):
            asyncio.run(main(k))
        """
    )
    case.complete()


def test_spans_that_outlive_their_loop(case: Case) -> None:
    """Begun on one event loop and ended on another, or on none, after the first was closed."""
    case.run(
        """
        import asyncio
        trace = make().trace("t")
        async def begin(name):
            span = trace.span(name)
            await span.__aenter__()
            return span
        async def end(span):
            await span.__aexit__(None, None, None)
        def on_a_loop_of_its_own(work):
            loop = asyncio.new_event_loop()
            try:
                return loop.run_until_complete(work)
            finally:
                loop.close()
        first, second = on_a_loop_of_its_own(begin("first")), on_a_loop_of_its_own(begin("second"))
        on_a_loop_of_its_own(end(first)); second.end()
        said("first", "second")
        """
    )
    case.complete()
    with case.backend.lock:
        assert all(item["status"] == "SUCCESS" for item in case.backend.sgp)


def test_delivery_needs_no_gil(case: Case) -> None:
    """While one call of the program keeps the GIL, what has ended is delivered."""
    case.backend.status = 503
    answer = case.directory / "answer"
    os.mkfifo(answer)
    process = case.start(
        """
        import ctypes
        trace = make().trace("t")
        for n in range(300):
            span(trace, f"s{n}"); said(f"s{n}")
        answer = os.open(os.environ["ANSWER"], os.O_RDWR)
        buffer = ctypes.create_string_buffer(1)
        ticks = 0
        def tick():
            global ticks
            while True:
                time.sleep(0.001); ticks += 1
        threading.Thread(target=tick, daemon=True).start()
        print("holding", flush=True)
        # A function called through PyDLL keeps the GIL: nothing of Python runs here until the other process answers.
        read, before = ctypes.PyDLL(None).read, ticks
        got, after = read(answer, buffer, 1), ticks
        print(got, after - before, flush=True)
        os._exit(0)
        """,
        ANSWER=str(answer),
    )
    assert process.stdout is not None and process.stdout.readline() == "holding\n"
    case.backend.status = 200
    try:
        assert case.backend.wait_for(lambda backend: len(backend.sgp) >= 300), "nothing arrives while the GIL is kept"
    finally:
        answer.write_bytes(b"x")
        out, _ = process.communicate(timeout=300)
    got, ticks = map(int, out.split())
    assert got == 1 and ticks <= 3, "the GIL was not kept"
    case.complete()


def test_threads_that_outlive_the_main_one(case: Case) -> None:
    case.run(
        """
        trace = make().trace("t")
        def work(k):
            for n in range(50):
                span(trace, f"{k}-{n}"); said(f"{k}-{n}")
        for k in range(4):
            threading.Thread(target=work, args=(k,)).start()
        """
    )
    case.complete()


@pytest.mark.parametrize("ending", ["os._exit(7)", "os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 15)", "os.abort()"])
def test_sudden_ends_leave_everything_in_the_spool(case: Case, ending: str) -> None:
    process = case.start(
        f"""
        trace = make().trace("t")
        for n in range(200):
            span(trace, f"s{{n}}"); said(f"s{{n}}")
        open_span = trace.span("open", input={{"n": 1}}).start()
        said("open")
        {ending}
        """
    )
    process.communicate(timeout=300)
    assert process.returncode != 0
    recovered = case.recover()
    assert recovered["open"] == 1
    assert case.names == case.produced
    died = next(item for item in case.backend.sgp if item["name"] == "open")
    assert died["metadata"]["__error__"]["type"] == "ProcessDied" and died["input"] == {"n": 1}


def test_sigkill_from_outside_at_any_moment(case: Case) -> None:
    process = case.start(
        """
        trace = make().trace("t")
        print("ready", flush=True)
        n = 0
        while True:
            # Said before it is made: the last one may be missing, and nothing else.
            said(f"s{n}"); span(trace, f"s{n}"); n += 1
        """
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    case.backend.wait_for(lambda backend: len(backend.sgp) > 200)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    case.recover()
    missing = case.produced - case.names
    last = max(case.produced, key=lambda name: int(name[1:]))
    assert missing <= {last}


def test_sigterm_with_a_handler_that_exits(case: Case) -> None:
    process = case.start(
        """
        import signal
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        trace = make().trace("t")
        for n in range(100):
            span(trace, f"s{n}"); said(f"s{n}")
        with trace.span("open"):
            said("open")
            print("ready", flush=True)
            while True: time.sleep(0.01)
        """
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=300)
    assert process.returncode == 0
    case.complete()


def test_interpreter_shutdown_with_open_spans(case: Case) -> None:
    case.run(
        """
        tracer = make()
        trace = tracer.trace("t")
        kept = trace.span("kept", input={"a": 1}).start()
        def generator():
            with trace.span("in a generator"):
                yield 1
        suspended = generator(); next(suspended)
        cycle = [trace.span("in a cycle").start()]; cycle.append(cycle); del cycle
        class Late:
            def __del__(self): span(trace, "late")
        late = Late()
        said("kept", "in a generator", "in a cycle")
        """
    )
    assert case.names - {"late"} == case.produced
    kept = next(item for item in case.backend.sgp if item["name"] == "kept")
    assert kept["metadata"]["__error__"]["type"] == "Interrupted" and kept["input"] == {"a": 1}


def test_a_dead_backend_does_not_hold_up_the_end(case: Case) -> None:
    """The end of the process leaves what it cannot deliver to the next one."""
    begun = time.monotonic()
    case.run(
        """
        trace = make().trace("t")
        for n in range(50):
            span(trace, f"s{n}"); said(f"s{n}")
        """,
        BACKEND="http://127.0.0.1:9",
        ENDSPAN_SHUTDOWN_TIMEOUT_MS="250000",
    )
    assert time.monotonic() - begun < 200
    # To the same destination, which is known by its address.
    case.run("make().flush(1)", BACKEND="http://127.0.0.1:9")
    assert case.names == set()


def test_an_outage_within_one_life(case: Case) -> None:
    case.backend.status = 503
    process = case.start(
        """
        tracer = make()
        trace = tracer.trace("t")
        for n in range(300):
            span(trace, f"s{n}"); said(f"s{n}")
        print("ready", flush=True)
        report = tracer.flush(200)
        print(json.dumps([report.delivered, report.dropped, report.pending]))
        """
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    case.backend.wait_for(lambda backend: backend.requests > 1)
    case.backend.status = 200
    out, _ = process.communicate(timeout=300)
    assert json.loads(out) == [300, 0, 0]
    case.complete()


def test_no_spool_and_a_dead_backend_is_reported(case: Case) -> None:
    out = case.run(
        """
        tracer = make()
        trace = tracer.trace("t")
        for n in range(50):
            span(trace, f"s{n}")
        report = tracer.shutdown(0.2)
        print(json.dumps([report.delivered, report.dropped, report.spooled, report.pending]))
        """,
        BACKEND="http://127.0.0.1:9",
        ENDSPAN_SPOOL="0",
    )
    assert json.loads(out) == [0, 50, 0, 0]


def test_sub_interpreters_are_refused_clearly(case: Case) -> None:
    module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    pytest.importorskip(module)
    inner = "try:\n import endspan\nexcept ImportError as error:\n print('refused:', error, flush=True)"
    out = case.run(
        f"""
        import {module} as interpreters
        other = interpreters.create()
        interpreters.run_string(other, "import sys; sys.path[:] = " + repr(sys.path))
        interpreters.run_string(other, {inner!r})
        """
    )
    assert "refused:" in out and "interpreter" in out


def test_import_starts_nothing(case: Case) -> None:
    out = case.run(
        """
        import subprocess
        print(threading.active_count(), len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1)
        """
    )
    assert out.split() == ["1", "1"]
    assert not (case.directory / "spool").exists()
    assert endspan.__version__
