"""However a process lives and dies: produced = delivered + spooled + reported.

Each case is a program of its own, run against a backend of this one. The programs use the few functions of `PRELUDE`
only, so that the suite can be pointed at another tracer by writing another prelude.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from program import PRELUDE, Case

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


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)", "pass"])
def test_os_fork(case: Case, ending: str) -> None:
    """Parent and children write at once; children that flush deliver, others leave it in the spool."""
    case.run(
        f"""
        tracer = make()
        trace = tracer.trace("t")
        span(trace, "before"); said("before")
        children = []
        with trace.span("around"):
            for k in range(3):
                child = os.fork()
                if child == 0:
                    for n in range(50):
                        span(trace, f"{{k}}-{{n}}"); said(f"{{k}}-{{n}}")
                    {ending}
                    os._exit(0)
                children.append(child)
            for n in range(50):
                span(trace, f"p-{{n}}"); said(f"p-{{n}}")
            for child in children:
                assert os.waitpid(child, 0)[1] == 0
        said("around")
        """
        if ending != "sys.exit(0)"
        else """
        tracer = make()
        trace = tracer.trace("t")
        def work(k):
            # Leaving the parent's scope by an exception ends no span of the parent's.
            with trace.span(f"{k}"):
                said(f"{k}")
            sys.exit(0)
        children = []
        with trace.span("around"):
            for k in range(3):
                child = os.fork()
                if child == 0:
                    work(k)
                children.append(child)
            for child in children:
                assert os.waitpid(child, 0)[1] == 0
        said("around")
        """
    )
    if case.names != case.produced:
        case.recover()
    case.complete()
    around = next(item for item in case.backend.sgp if item["name"] == "around")
    assert around["status"] == "SUCCESS"


def test_threads_of_the_package_import_nothing(case: Case) -> None:
    """An import may register fork hooks; one beside a fork of the main thread would run half of them."""
    out = case.run(
        """
        import builtins, logging
        imports, lines, genuine = [], [], builtins.__import__
        def watched(name, *rest, **more):
            if threading.current_thread() is not threading.main_thread():
                imports.append(name)
            return genuine(name, *rest, **more)
        heard = threading.Event()
        class Handler(logging.Handler):
            def emit(self, record):
                lines.append(threading.current_thread() is threading.main_thread())
                heard.set()
        logging.getLogger("endspan").addHandler(Handler())
        builtins.__import__ = watched
        tracer = make()
        span(tracer.trace("t"), "unheard")
        tracer.shutdown(0.1)
        assert heard.wait(200)
        print(lines[0], imports)
        """,
        BACKEND="http://127.0.0.1:9",
        ENDSPAN_SPOOL="0",
    )
    assert out == "False []\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(case: Case, method: str) -> None:
    case.run(
        f"""
        import multiprocessing
        def work(k):
            trace = make().trace("t")
            for n in range(20):
                span(trace, f"{{k}}-{{n}}"); said(f"{{k}}-{{n}}")
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            span(make().trace("t"), "parent"); said("parent")
            children = [context.Process(target=work, args=(k,)) for k in range(3)]
            for child in children: child.start()
            for child in children: child.join(); assert child.exitcode == 0
            with context.Pool(2, maxtasksperchild=1) as pool:
                pool.map(work, ["a", "b", "c"])
                pool.close(); pool.join()
        """
    )
    if case.names != case.produced:
        case.recover()
    case.complete()


def test_a_tracer_used_on_both_sides_of_a_fork_by_multiprocessing(case: Case) -> None:
    case.run(
        """
        import multiprocessing
        tracer = make()
        trace = tracer.trace("t")
        span(trace, "before"); said("before")
        def work(k):
            span(trace, f"child-{k}"); said(f"child-{k}")
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(k,)) for k in range(3)]
        for child in children: child.start()
        for child in children: child.join()
        # The children flushed by themselves, without the spool's help.
        """
    )
    case.complete()


def test_a_forked_child_has_connections_of_its_own(case: Case) -> None:
    """Once the parent has delivered, there are connections to take over; nothing but requests delivers here."""
    case.run(
        """
        tracer = make()
        trace = tracer.trace("t")
        span(trace, "before"); said("before")
        assert tracer.flush(200).is_complete
        for k in range(3):
            child = os.fork()
            if child == 0:
                span(trace, f"child {k}"); said(f"child {k}")
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
            span(trace, f"after {k}"); said(f"after {k}")
            assert tracer.flush(200).is_complete
        """,
        ENDSPAN_SPOOL="0",
        ENDSPAN_SHUTDOWN_TIMEOUT_MS="30000",
    )
    case.complete()


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn_with_worker_recycling(case: Case, worker: str, preload: bool) -> None:
    """Workers come and go under load; each one's spans arrive, whether the tracer was made before the fork or after."""
    pytest.importorskip("gunicorn")
    if worker == "gevent":
        pytest.importorskip("gevent")
    (case.directory / "served.py").write_text(
        PRELUDE
        + textwrap.dedent(
            """
            tracer = make()
            trace = tracer.trace("t")
            span(trace, f"loaded-{os.getpid()}"); said(f"loaded-{os.getpid()}")
            def app(environ, start_response):
                name = environ["QUERY_STRING"]
                with trace.span(name, input={"path": environ["PATH_INFO"]}) as outer:
                    span(trace, f"{name}-inner")
                said(name, f"{name}-inner")
                start_response("200 OK", [("content-length", "10"), ("connection", "close")])
                return [f"{os.getpid():010}".encode()]
            """
        )
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "served:app", "--bind", "127.0.0.1:0", "--workers", "2"]
        + ["--max-requests", "7", "--worker-class", worker, "--threads", "2", "--graceful-timeout", "100"]
        + ["--timeout", "200", "--chdir", str(case.directory), "--worker-tmp-dir", str(case.directory)]
        + (["--preload"] if preload else []),
        env=case.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(line)
        if found := re.search(r"Listening at: (http://[0-9.:]+)", line):
            break
    else:
        pytest.fail("".join(lines))
    drained = threading.Thread(target=lambda: lines.extend(server.stderr or ()))
    drained.start()

    def ask(number: int) -> bytes:
        with urllib.request.urlopen(f"{found[1]}/?r{number}", timeout=200) as answer:
            return bytes(answer.read())

    workers: set[bytes] = set()
    asked = 0
    with ThreadPoolExecutor(4) as executor:
        # Some workers look only once a second whether they have served enough.
        while asked < 60 or len(workers) < 4 and asked < 20_000:
            workers |= set(executor.map(ask, range(asked, asked + 20)))
            asked += 20
    server.terminate()
    assert server.wait(200) == 0, "".join(lines)
    drained.join()
    assert len(workers) >= 4, "no worker was replaced"
    if case.names != case.produced:
        case.recover()
    case.complete()
    assert {f"r{number}-inner" for number in range(asked)} <= case.names
    parents = {item["name"]: item.get("parent_id") for item in case.backend.sgp}
    ids = {item["name"]: item["id"] for item in case.backend.sgp}
    assert all(parents[f"r{number}-inner"] == ids[f"r{number}"] for number in range(asked))


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


def test_a_fixed_seed_in_every_worker(case: Case) -> None:
    case.run(
        """
        import random
        random.seed(0)
        trace = make().trace("t")
        for k in range(4):
            if os.fork() == 0:
                random.seed(0)
                for n in range(100):
                    span(trace, f"{k}-{n}"); said(f"{k}-{n}")
                sys.exit(0)
        for _ in range(4): os.wait()
        """
    )
    if case.names != case.produced:
        case.recover()
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


def test_gevent(case: Case) -> None:
    pytest.importorskip("gevent")
    case.run(
        """
        from gevent import monkey; monkey.patch_all()
        import gevent
        tracer = make()
        trace = tracer.trace("t")
        def work(k):
            with trace.span(f"{k}") as outer:
                gevent.sleep(0)
                assert endspan.current_span() is outer
                span(trace, f"{k}-inner")
            said(f"{k}", f"{k}-inner")
        gevent.joinall([gevent.spawn(work, k) for k in range(20)], raise_error=True)
        """
    )
    case.complete()
    parents = {item["name"]: item.get("parent_id") for item in case.backend.sgp}
    ids = {item["name"]: item["id"] for item in case.backend.sgp}
    assert all(parents[f"{k}-inner"] == ids[f"{k}"] for k in range(20))


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
