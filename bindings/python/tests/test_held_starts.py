"""Starts of spans that other tracers make: held beside the log while nobody reads them, and there when the process dies."""

from __future__ import annotations

from typing import Any

import endspan
from backend import Backend
from program import Case


def test_a_start_is_no_record_of_the_log(case: Case) -> None:
    case.backend.status = 503
    case.run(
        """
        tracer = make()
        whole = dict(trace_id="t", start_time=1.0, input={"a": 1})
        for n in range(50):
            tracer.submit(id=f"i{n}", name=f"s{n}", **whole)
            tracer.submit(id=f"i{n}", name=f"s{n}", end_time=2.0, **whole)
            said(f"s{n}")
        # Started twice, as when an activity is tried again.
        tracer.submit(id="open", name="open", **whole); tracer.submit(id="open", name="open", **whole)
        said("open")
        os._exit(7)
        """,
        expect=7,
    )
    case.backend.status = 200
    # Fifty ends, and the one start whose end is missing.
    assert case.recover() == {"recovered": 51, "open": 1}
    case.complete()
    died = next(item for item in case.backend.sgp if item["name"] == "open")
    assert died["metadata"]["__error__"]["type"] == "ProcessDied" and died["input"] == {"a": 1}


def test_more_open_spans_than_places(case: Case) -> None:
    """Those that find no place go into the log, and nothing is lost of either."""
    case.run(
        """
        tracer = make()
        for n in range(2500):
            tracer.submit(id=f"i{n}", trace_id="t", name=f"s{n}", start_time=1.0)
        for n in range(0, 2500, 2):
            tracer.submit(id=f"i{n}", trace_id="t", name=f"s{n}", start_time=1.0, end_time=2.0)
        said(*(f"s{n}" for n in range(2500)))
        os._exit(7)
        """,
        expect=7,
    )
    assert case.recover()["open"] == 1250
    case.complete()


def test_what_is_held_is_counted_until_its_span_ends(case: Case) -> None:
    out = case.run(
        """
        tracer = make()
        def both(**more):
            tracer.submit(id="i", trace_id="t", name="s", start_time=1.0, **more)
            return tracer.stats().open_spans
        print(both(), both(end_time=2.0)); said("s")
        """
    )
    assert out == "1 0\n"
    case.complete()


def test_exporters_that_write_starts_get_them(backend: Backend, tmp_path: Any) -> None:
    exporters = [endspan.SGPExporter("key", "account", backend.url, write_starts=True)]
    tracer = endspan.Tracer(exporters, linger_ms=1, spool=True, spool_dir=tmp_path, every_start=True)
    tracer.submit(id="i", trace_id="t", name="s", start_time=1.0, input={"a": 1})
    assert tracer.flush(120).delivered == 1
    tracer.submit(id="i", trace_id="t", name="s", start_time=1.0, end_time=2.0, output={"b": 2})
    assert tracer.shutdown(120).delivered == 2
    assert [bool(item.get("end_timestamp")) for item in backend.sgp] == [False, True]
