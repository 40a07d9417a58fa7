"""Whose child a span is: in tasks, threads, executors, generators and decorated functions."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from backend import Backend
from delivery import delivered

import endspan


def test_parents(tracer: endspan.Tracer, backend: Backend) -> None:
    trace, other = tracer.trace("t"), tracer.trace("other")
    with trace.span("root") as root:
        assert endspan.current_span() is root
        with tracer.trace("t").span("same trace") as child:
            assert child.parent_id == root.id
        with other.span("other trace") as stranger:
            assert stranger.parent_id is None
        with trace.span("explicit id", parent="p-1") as span:
            assert span.parent_id == "p-1"
        with trace.span("explicit span", parent=child) as span:
            assert span.parent_id == child.id
        with trace.span("root by wish", root=True) as span:
            assert span.parent_id is None
        with endspan.span("by context") as span:
            assert span.parent_id == root.id
        manual = trace.span("manual").start()
        assert endspan.current_span() is root and manual.parent_id == root.id
        manual.end()
    assert endspan.current_span() is None
    assert len(delivered(tracer, backend)) == 8


def test_async_and_tasks(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")

    async def work(name: str) -> None:
        async with trace.span(name) as outer:
            await asyncio.sleep(0)
            async with trace.span(f"{name}.inner") as inner:
                await asyncio.to_thread(lambda: trace.span(f"{name}.thread").start().end())
                assert inner.parent_id == outer.id

    async def main() -> None:
        async with trace.span("root"):
            await asyncio.gather(*(work(f"w{index}") for index in range(10)))

    asyncio.run(main())
    items = delivered(tracer, backend)
    for index in range(10):
        assert items[f"w{index}"]["parent_id"] == items["root"]["id"]
        assert items[f"w{index}.inner"]["parent_id"] == items[f"w{index}"]["id"]
        assert items[f"w{index}.thread"]["parent_id"] == items[f"w{index}.inner"]["id"]


def test_threads_and_executors_with_their_context(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")

    def work(name: str) -> None:
        with trace.span(name):
            pass

    with trace.span("root"):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work, "thread"))
        thread.start()
        thread.join()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, work, "pool").result()
    items = delivered(tracer, backend)
    assert items["thread"]["parent_id"] == items["pool"]["parent_id"] == items["root"]["id"]


def test_decorators(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")

    @trace.span("function")
    def function(a: int, *, b: int) -> int:
        assert endspan.current_span().name == "function"
        return a + b

    @trace.span("coroutine")
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return inner()

    @endspan.traced
    def inner() -> int:
        return 7

    @trace.span("generator")
    def generator() -> Any:
        got = yield endspan.current_span().name
        yield got
        return "end"

    @trace.span("async generator")
    async def async_generator() -> Any:
        yield endspan.current_span().name
        yield 2

    assert function(1, b=2) == 3 and function(2, b=2) == 4
    assert function.__name__ == "function"
    running = generator()
    assert next(running) == "generator"
    assert endspan.current_span() is None
    assert running.send(5) == 5
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert stop.value.value == "end"

    async def main() -> None:
        assert await coroutine() == 7
        items = []
        async for item in async_generator():
            assert endspan.current_span() is None
            items.append(item)
        assert items == ["async generator", 2]

    asyncio.run(main())
    assert inner() == 7
    items = delivered(tracer, backend)
    names = [item["name"] for item in backend.sgp]
    assert names.count("function") == 2
    title = inner.__qualname__
    assert items[title]["parent_id"] == items["coroutine"]["id"] and names.count(title) == 1
    assert {"generator", "async generator"} <= set(names)


def test_generators_closed_elsewhere(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")

    def stream() -> Any:
        with trace.span("stream"):
            yield 1
            yield 2

    running = stream()
    contextvars.copy_context().run(next, running)
    contextvars.copy_context().run(running.close)

    async def async_stream() -> Any:
        async with trace.span("async stream"):
            yield 1
            yield 2

    async def main() -> None:
        running = async_stream()
        await asyncio.create_task(running.__anext__())
        await asyncio.create_task(running.aclose())

    asyncio.run(main())
    assert endspan.current_span() is None
    items = delivered(tracer, backend)
    assert items["stream"]["status"] == items["async stream"]["status"] == "CANCELED"


def test_the_current_span_is_carried_by_hand(tracer: endspan.Tracer) -> None:
    trace = tracer.trace("t")
    with ThreadPoolExecutor(1) as executor, trace.span("outer") as outer:
        assert executor.submit(endspan.current_span).result() is None
        assert executor.submit(endspan.carry(endspan.current_span)).result() is outer
        # The pool's thread keeps nothing.
        assert executor.submit(endspan.current_span).result() is None


def test_the_current_span_is_carried_into_threads_and_executors(tracer: endspan.Tracer) -> None:
    import endspan.threads

    trace = tracer.trace("t")
    seen: dict[str, endspan.Span | None] = {}

    class Subclass(threading.Thread):
        def run(self) -> None:
            seen["subclass"] = endspan.current_span()

    before = (threading.Thread.start, ThreadPoolExecutor.submit)
    endspan.threads.install()
    endspan.threads.install()
    try:
        with trace.span("outer") as outer, ThreadPoolExecutor(1) as executor:
            threads = [Subclass(), threading.Thread(target=lambda: seen.update(plain=endspan.current_span()))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
                assert "run" not in vars(thread)
            assert list(executor.map(lambda _: endspan.current_span(), range(3))) == [outer] * 3
            with trace.span("inner") as inner:
                assert executor.submit(endspan.current_span).result() is inner

            async def main() -> None:
                assert await asyncio.get_running_loop().run_in_executor(executor, endspan.current_span) is outer

            asyncio.run(main())
            # The thread that the pool started under a span has none of its own.
            context = contextvars.Context()
            assert context.run(executor.submit, endspan.current_span).result() is None
            failed = executor.submit(int, "x")
            with pytest.raises(ValueError):
                failed.result()
        assert seen == {"subclass": outer, "plain": outer}
    finally:
        endspan.threads.uninstall()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before
