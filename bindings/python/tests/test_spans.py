"""The native API."""

from __future__ import annotations

import asyncio
import datetime
import gc
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from backend import Backend
from delivery import delivered

import endspan


def test_a_span_reaches_every_exporter(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t-1", task_id="task-1", group_id="group-1")
    with trace.span("step", input={"a": 1}, data={"k": "v"}, span_type="COMPLETION") as span:
        span.output = {"b": [1, 2]}
    item = delivered(tracer, backend)["step"]
    assert item["id"] == span.id and item["trace_id"] == "t-1" and item["group_id"] == "group-1"
    assert item["input"] == {"a": 1} and item["output"] == {"b": [1, 2]}
    assert item["type"] == "COMPLETION" and item["status"] == "SUCCESS"
    assert item["metadata"]["k"] == "v"
    (row,) = backend.agentex
    assert row["id"] == span.id and row["task_id"] == "task-1" and row["output"] == {"b": [1, 2]}
    assert uuid.UUID(span.id)
    assert span.start_time <= span.end_time
    assert span.start_time.tzinfo is datetime.timezone.utc
    report = tracer.flush(120)
    assert [account.destination for account in report.accounts] == ["sgp", "agentex"]
    assert report.delivered == 2 and report.is_complete


def test_payloads_are_as_they_are_at_the_end(tracer: endspan.Tracer, backend: Backend) -> None:
    messages: list[Any] = [{"role": "user"}]
    with tracer.trace("t").span("step", input={"messages": messages}) as span:
        messages.append({"role": "assistant"})
    messages.append({"role": "late"})
    span.output = {"late": True}
    item = delivered(tracer, backend)["step"]
    assert len(item["input"]["messages"]) == 2
    assert item["output"] == {}


@pytest.mark.parametrize("trace_id", [None, ""])
def test_row_2_no_trace_id_is_a_no_op(tracer: endspan.Tracer, backend: Backend, trace_id: Any) -> None:
    trace = tracer.trace(trace_id)
    assert trace.is_noop
    with trace.span("nothing", input={"a": 1}) as span:
        span.output = {"b": 1}
        span.record_error(ValueError("x"))
        span.record_usage({"input_tokens": 1})
        assert span.is_noop and span.id == "" and span.trace_id == ""
        with span.span("child") as child:
            assert child.is_noop
    assert delivered(tracer, backend) == {}


def test_row_19_errors_are_recorded_and_raised(tracer: endspan.Tracer, backend: Backend) -> None:
    with pytest.raises(ValueError, match="boom"):
        with tracer.trace("t").span("step", data={"k": 1}):
            raise ValueError("boom")
    item = delivered(tracer, backend)["step"]
    assert item["status"] == "ERROR"
    assert item["metadata"]["__error__"]["type"] == "ValueError"
    assert item["metadata"]["__error__"]["message"] == "boom"
    assert item["metadata"]["k"] == 1


def test_errors_that_a_program_records_itself(tracer: endspan.Tracer, backend: Backend) -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    trace = tracer.trace("t")
    errors: dict[str, tuple[Any, ...]] = {
        "exception": (ValueError("boom"),),
        "words": ("Timeout", "after 3 s"),
        "name": ("Timeout",),
        "speechless": (Speechless(),),
    }
    for name, error in errors.items():
        with trace.span(name, data={"kept": 1}) as span:
            span.record_error(*error)
    items = delivered(tracer, backend)
    assert {name: items[name]["metadata"]["__error__"] for name in errors} == {
        "exception": {"type": "ValueError", "message": "boom"},
        "words": {"type": "Timeout", "message": "after 3 s"},
        "name": {"type": "Timeout", "message": ""},
        "speechless": {"type": "Speechless", "message": ""},
    }
    assert all(items[name]["status"] == "ERROR" and items[name]["metadata"]["kept"] == 1 for name in errors)


def test_row_22_list_data_stays(tracer: endspan.Tracer, backend: Backend) -> None:
    with pytest.raises(ValueError):
        with tracer.trace("t").span("step", data=[{"k": 1}]):
            raise ValueError("boom")
    delivered(tracer, backend)
    assert backend.agentex[0]["data"] == [{"k": 1}]


def test_row_23_cancellation_is_recorded(tracer: endspan.Tracer, backend: Backend) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def work() -> None:
            async with tracer.trace("t").span("step"):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    item = delivered(tracer, backend)["step"]
    assert item["status"] == "CANCELED"
    assert item["metadata"]["__error__"]["type"] == "CancelledError"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_other_ends_are_recorded(tracer: endspan.Tracer, backend: Backend, error: BaseException) -> None:
    with pytest.raises(type(error)):
        with tracer.trace("t").span("step"):
            raise error
    item = delivered(tracer, backend)["step"]
    assert item["metadata"]["__error__"]["type"] == type(error).__name__


def test_rows_116_to_119_usage(tracer: endspan.Tracer, backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    trace = tracer.trace("t")

    class Usage:
        def model_dump(self, **_: Any) -> dict[str, Any]:
            return {"input_tokens": 1, "cost_usd": 0.5}

    with trace.span("map", data={"k": 1}) as span:
        span.record_usage({"input_tokens": 10}, cost_usd=0.25)
    with trace.span("model") as span:
        span.record_usage(Usage(), 0.75)
    with trace.span("lifted") as span:
        span.record_usage(Usage())
    with trace.span("unknown") as span:
        span.record_usage({"inputTokens": 10})
    with trace.span("list", data=[{"k": 1}]) as span:
        span.record_usage({"total_tokens": 3})
    with trace.span("broken") as span:
        span.record_usage(object())
        span.record_usage(None)
    delivered(tracer, backend)
    rows = {row["name"]: row["data"] for row in backend.agentex}
    assert rows["map"] == {"k": 1, "usage": {"input_tokens": 10}, "cost_usd": 0.25}
    assert rows["model"] == {"usage": {"input_tokens": 1}, "cost_usd": 0.75}
    assert rows["lifted"]["cost_usd"] == 0.5
    assert rows["unknown"] == {"usage": {"inputTokens": 10}}
    assert rows["list"] == {"usage": {"total_tokens": 3}}
    assert "known keys" in caplog.text and "makes room" in caplog.text


def test_a_span_that_nobody_ends_is_reported(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")
    trace.span("forgotten", input={"a": 1}).start()
    cycle: dict[str, Any] = {}
    cycle["span"] = trace.span("in a cycle", data={"cycle": cycle}).start()
    del cycle
    gc.collect()
    items = delivered(tracer, backend)
    for name in ("forgotten", "in a cycle"):
        assert items[name]["metadata"]["__error__"]["type"] == "Abandoned"
    assert items["forgotten"]["input"] == {"a": 1}


def test_ends_once(tracer: endspan.Tracer, backend: Backend) -> None:
    span = tracer.trace("t").span("once").start()
    span.end()
    span.end()
    with span:
        pass
    span.start().end()
    delivered(tracer, backend)
    assert len(backend.sgp) == 1


def test_row_16_a_preset_end_is_kept(tracer: endspan.Tracer, backend: Backend) -> None:
    start = datetime.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
    end = start + datetime.timedelta(seconds=1)
    with tracer.trace("t").span("preset", start_time=start, id="my-id") as span:
        span.end_time = end
    assert (span.start_time, span.end_time, span.id) == (start, end, "my-id")
    item = delivered(tracer, backend)["preset"]
    assert datetime.datetime.fromisoformat(item["start_timestamp"].replace("Z", "+00:00")) == start
    assert datetime.datetime.fromisoformat(item["end_timestamp"].replace("Z", "+00:00")) == end


@pytest.mark.parametrize("payload", [{}, [], 0, "", None, False])
def test_rows_6_and_17_empty_is_none(tracer: endspan.Tracer, backend: Backend, payload: Any) -> None:
    with tracer.trace("t").span("empty", input=payload) as span:
        span.output = payload
    delivered(tracer, backend)
    assert backend.agentex[0]["input"] is None and backend.agentex[0]["output"] is None


def test_row_60_a_bad_payload_hurts_nobody_else(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")
    for index, payload in enumerate([{"n": float("nan")}, {"s": "\ud800"}, {"lock": threading.Lock()}, {"ok": 1}]):
        with trace.span(f"s{index}", input=payload):
            pass
    items = delivered(tracer, backend)
    assert items["s0"]["input"] == {"n": None}
    assert items["s1"]["input"] == {"s": "\ufffd"}
    assert endspan.UNENCODABLE in items["s2"]["input"]["lock"]
    assert items["s3"]["input"] == {"ok": 1}
    assert tracer.stats().unencodable_payloads == 1


def test_odd_arguments_do_not_raise(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace(uuid.UUID(int=7), task_id=3)  # type: ignore[arg-type]
    assert trace.id == str(uuid.UUID(int=7))
    with trace.span(5, parent=6, span_type="MADE_UP", id=8, start_time="soon") as span:  # type: ignore[arg-type]
        span.status = "nonsense"
        span.end_time = "later"
        span.name = None
        span.task_id = object()
    with trace.span("\ud800 surrogate"):
        pass
    assert len(delivered(tracer, backend)) == 2


def test_the_encoder_may_meet_spans(tracer: endspan.Tracer, backend: Backend) -> None:
    """Code of the program that runs while a span is encoded may use spans, this one too."""
    trace = tracer.trace("t")

    class Sneaky:
        def __iter__(self) -> Any:
            outer.output = {"changed": "too late"}
            outer.end()
            with trace.span("inside", input={"x": "y" * 5000}):
                pass
            return iter([1])

    with trace.span("outer") as outer:
        outer.output = {"sneaky": Sneaky(), "span": outer}
    items = delivered(tracer, backend)
    assert items["outer"]["output"]["sneaky"] == [1]
    assert items["inside"]["input"] == {"x": "y" * 5000}


def test_ids_stay_unique_under_a_fixed_seed(tracer: endspan.Tracer) -> None:
    import random

    trace = tracer.trace("t")
    ids = set()
    for _ in range(50):
        random.seed(0)
        for _ in range(20):
            with trace.span("s") as span:
                ids.add(span.id)
    assert len(ids) == 1000


def test_many_threads(tracer: endspan.Tracer, backend: Backend) -> None:
    trace = tracer.trace("t")

    def work(number: int) -> None:
        for index in range(100):
            with trace.span(f"{number}-{index}", input={"n": index}):
                pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(delivered(tracer, backend)) == 800


def test_stats_and_shutdown(backend: Backend) -> None:
    backend.status = 503
    tracer = endspan.Tracer([endspan.SGPExporter("key", "account", backend.url)], linger_ms=1, spool=False)
    with tracer.trace("t").span("lost"):
        pass
    report = tracer.shutdown(0.3)
    assert report.delivered == 0 and report.accounts[0].dropped == {"shutdown_timeout": 1}
    assert report.accounts[0].is_conserved and not report.is_complete
    with tracer.trace("t").span("after"):
        pass
    stats = tracer.stats()
    assert stats.destinations[0].account.dropped == {"shutdown_timeout": 1, "shutdown": 1}
    assert stats.dropped == 2 and stats.pending == 0


def test_a_burst_beyond_the_memory_goes_to_the_spool(backend: Backend, tmp_path: Path) -> None:
    def make(**settings: Any) -> endspan.Tracer:
        exporter = endspan.SGPExporter("key", "account", backend.url)
        return endspan.Tracer([exporter], spool=True, spool_dir=tmp_path, max_queue_size=0, **settings)

    backend.status = 503
    tracer = make(queue_bytes=8 << 20)
    trace, text = tracer.trace("t"), "x" * 100_000
    for number in range(300):
        with trace.span(f"s{number}", input={"text": text}):
            pass
    report = tracer.shutdown(0)
    assert (report.dropped, report.spooled) == (0, 300), str(report)
    backend.status = 200
    after = make()
    assert backend.wait_for(lambda backend: len({item["id"] for item in backend.sgp}) == 300)
    assert after.shutdown(120).is_complete
    assert all(item["input"] == {"text": text} for item in backend.sgp)


def test_a_dead_backend_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tracer = endspan.Tracer([endspan.SGPExporter("key", "account", "http://127.0.0.1:9")], linger_ms=1, spool=False)
    with tracer.trace("t").span("lost"):
        pass
    tracer.shutdown(0.1)
    for _ in range(6000):
        if "dropped" in caplog.text or "could not deliver" in caplog.text:
            break
        threading.Event().wait(0.02)
    assert any(record.name == "endspan" and record.levelname == "WARNING" for record in caplog.records)


def test_flush_does_not_block_the_event_loop(tracer: endspan.Tracer, backend: Backend) -> None:
    async def main() -> endspan.Report:
        async with tracer.trace("t").span("s"):
            pass
        return await tracer.flush_async(120)

    assert asyncio.run(main()).delivered == 2


def test_switched_off_exporters() -> None:
    exporter = endspan.SGPExporter(api_key="", account_id="")
    assert exporter.disabled
    tracer = endspan.Tracer([exporter], spool=False)
    with tracer.trace("t").span("s", input={"a": 1}) as span:
        assert span.id
    assert not tracer.enabled and tracer.shutdown().accounts == ()


def test_the_environment_describes_exporters(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGP_API_KEY", "k")
    monkeypatch.setenv("SGP_ACCOUNT_ID", "a")
    monkeypatch.setenv("SGP_CLIENT_BASE_URL", backend.url)
    with endspan.Tracer(linger_ms=1) as tracer:
        with tracer.trace("t").span("s"):
            pass
    assert [item["name"] for item in backend.sgp] == ["s"]
    assert backend.headers[0]["x-api-key"] == "k" and backend.headers[0]["x-selected-account-id"] == "a"


def test_a_library_is_asked_for_ids_once_it_is_imported(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def read() -> tuple[str, str]:
        asked.append(1)
        return "1" * 32, "2" * 16

    observe = (("a_library_that_nobody_has", "another_one"), read)
    with endspan.Tracer([endspan.AgentexExporter(backend.url)], linger_ms=1, spool=False, observe=observe) as tracer:
        trace = tracer.trace("t")
        with trace.span("before"):
            pass
        assert asked == []
        monkeypatch.setitem(sys.modules, "another_one", sys)
        with trace.span("after"):
            pass
        assert asked == [1]
    rows = {row["name"]: row["data"] for row in backend.agentex}
    assert rows == {"before": None, "after": {"obs.trace_id": "1" * 32, "obs.span_id": "2" * 16}}


def test_rows_26_to_30_observability_ids(
    tracer: endspan.Tracer, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_module = pytest.importorskip("opentelemetry.trace")
    context = trace_module.SpanContext(0xABC, 0xDEF, False, trace_module.TraceFlags(1))
    monkeypatch.setenv("SGP_OBS_MODE", " LGTM ")
    with endspan.Tracer([endspan.AgentexExporter(backend.url)], linger_ms=1, spool=False) as observing:
        with trace_module.use_span(trace_module.NonRecordingSpan(context)):
            with observing.trace("t").span("observed", data={"obs.trace_id": "mine", "k": 1}):
                pass
        with observing.trace("t").span("alone"):
            pass
    rows = {row["name"]: row["data"] for row in backend.agentex}
    assert rows["observed"] == {"k": 1, "obs.trace_id": f"{0xABC:032x}", "obs.span_id": f"{0xDEF:016x}"}
    assert rows["alone"] is None
