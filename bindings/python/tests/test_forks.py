"""Forks, servers that fork, and greenlets: produced = delivered + spooled + reported. As `test_safety.py`."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from program import PRELUDE, Case


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
