"""The spans resource of the Agentex client: what is written is read back equal."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest
from agentex import BadRequestError, NotFoundError, UnprocessableEntityError
from expect import NUL_PAYLOAD, ODD_PAYLOADS, assert_same

START = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=timezone.utc)
END = START + timedelta(milliseconds=1234.567)

FIELDS = ("id", "trace_id", "task_id", "parent_id", "name", "start_time", "end_time", "input", "output", "data")


def complete_span(trace_id: str, **changes: object) -> dict:
    span = {
        "id": str(uuid.uuid4()),
        "trace_id": trace_id,
        "task_id": "task-1",
        "parent_id": "parent-1",
        "name": "plan the trip",
        "start_time": START,
        "end_time": END,
        "input": {"question": "where to?", "n": 1},
        "output": {"answer": "north", "score": 0.5},
        "data": {"usage": {"input_tokens": 7}, "__span_type__": "COMPLETION"},
    }
    return span | changes


def assert_span(expected: dict, actual: object) -> None:
    assert_same(expected, {field: getattr(actual, field) for field in FIELDS})


def test_row_2_create_then_retrieve_returns_every_field(agentex_spans, trace_id):
    span = complete_span(trace_id)
    assert_span(span, agentex_spans.create(**span))
    assert_span(span, agentex_spans.retrieve(span["id"]))


def test_row_1_the_least_span_gets_an_id_and_nulls(agentex_spans, trace_id):
    created = agentex_spans.create(trace_id=trace_id, name="n", start_time=START)
    assert uuid.UUID(created.id)
    expected = dict.fromkeys(FIELDS) | {"id": created.id, "trace_id": trace_id, "name": "n", "start_time": START}
    assert_span(expected, created)
    assert_span(expected, agentex_spans.retrieve(created.id))


@pytest.mark.parametrize("case", ODD_PAYLOADS)
def test_odd_payloads_come_back_equal_in_every_field(agentex_spans, trace_id, case):
    payload = ODD_PAYLOADS[case]
    span = complete_span(trace_id, input=payload, output=[payload, {}], data={"inside": payload})
    assert_span(span, agentex_spans.create(**span))
    assert_span(span, agentex_spans.retrieve(span["id"]))
    (listed,) = agentex_spans.list(trace_id=trace_id)
    assert_span(span, listed)


def test_row_26_nul_inside_payloads_is_kept(agentex_spans, trace_id):
    span = complete_span(trace_id, input=NUL_PAYLOAD)
    agentex_spans.create(**span)
    assert_span(span, agentex_spans.retrieve(span["id"]))


def test_row_15_arrays_of_objects_and_empty_containers(agentex_spans, trace_id):
    span = complete_span(trace_id, input=[], output=[{"x": 1}, {}], data={})
    agentex_spans.create(**span)
    assert_span(span, agentex_spans.retrieve(span["id"]))


@pytest.mark.parametrize("span_id", ["a b", "ünï-çødé", "a%2Fb", "a?b#c", "x" * 200])
def test_ids_are_free_text(agentex_spans, trace_id, span_id):
    span = complete_span(trace_id, id=f"{span_id}-{uuid.uuid4()}")
    agentex_spans.create(**span)
    assert_span(span, agentex_spans.retrieve(span["id"]))


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2024, 1, 1, tzinfo=timezone.utc),
        datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(1970, 1, 1, tzinfo=timezone.utc) - timedelta(microseconds=1),
        datetime(2999, 12, 31, tzinfo=timezone(timedelta(hours=-12))),
    ],
    ids=str,
)
def test_times_are_moments_whatever_their_offset(agentex_spans, trace_id, moment):
    span = complete_span(trace_id, start_time=moment, end_time=moment)
    agentex_spans.create(**span)
    read = agentex_spans.retrieve(span["id"])
    assert (read.start_time, read.end_time) == (moment, moment)


def test_row_3_a_second_create_is_a_duplicate_and_changes_nothing(agentex_spans, trace_id):
    span = complete_span(trace_id)
    agentex_spans.create(**span)
    with pytest.raises(BadRequestError, match="already exists"):
        agentex_spans.create(**complete_span(trace_id, id=span["id"], name="other"))
    assert_span(span, agentex_spans.retrieve(span["id"]))


def test_row_31_unknown_ids_are_not_found(agentex_spans):
    with pytest.raises(NotFoundError, match="does not exist"):
        agentex_spans.retrieve(f"nope-{uuid.uuid4()}")
    with pytest.raises(NotFoundError):
        agentex_spans.update(f"nope-{uuid.uuid4()}", name="n")


def test_row_14_a_scalar_payload_is_refused(agentex_spans, trace_id):
    with pytest.raises(UnprocessableEntityError, match="input"):
        agentex_spans.create(trace_id=trace_id, name="n", start_time=START, input="text")
    assert agentex_spans.list(trace_id=trace_id) == []


def test_rows_35_and_41_update_merges_data_and_replaces_the_rest(agentex_spans, trace_id):
    span = complete_span(trace_id, output=None, end_time=None, data={"k": 1, "n": {"x": 1}})
    agentex_spans.create(**span)
    updated = agentex_spans.update(
        span["id"], end_time=END, input={"b": 2}, output={"done": True}, data={"n": {"y": 2}, "z": None}, name="new"
    )
    expected = span | {
        "name": "new",
        "end_time": END,
        "input": {"b": 2},
        "output": {"done": True},
        "data": {"k": 1, "n": {"y": 2}, "z": None},
    }
    assert_span(expected, updated)
    assert_span(expected, agentex_spans.retrieve(span["id"]))


def test_row_34_an_update_of_nulls_changes_nothing(agentex_spans, trace_id):
    span = complete_span(trace_id)
    agentex_spans.create(**span)
    assert_span(span, agentex_spans.update(span["id"], input=None, output=None, data=None, end_time=None))
    assert_span(span, agentex_spans.update(span["id"]))


def test_row_46_update_moves_a_span_to_another_trace(agentex_spans, trace_id):
    span = complete_span(trace_id)
    agentex_spans.create(**span)
    other = str(uuid.uuid4())
    agentex_spans.update(span["id"], trace_id=other)
    assert agentex_spans.list(trace_id=trace_id) == []
    assert [read.id for read in agentex_spans.list(trace_id=other)] == [span["id"]]


def test_rows_48_49_list_pages_newest_first(agentex_spans, trace_id):
    spans = [complete_span(trace_id, start_time=START + timedelta(seconds=index), name=f"s{index}") for index in range(60)]
    for span in spans:
        agentex_spans.create(**span)
    newest_first = [span["id"] for span in reversed(spans)]
    assert [span.id for span in agentex_spans.list(trace_id=trace_id)] == newest_first[:50]
    pages, page_number = [], 1
    while page := agentex_spans.list(trace_id=trace_id, limit=7, page_number=page_number):
        pages += [span.id for span in page]
        page_number += 1
    assert pages == newest_first
    oldest = agentex_spans.list(trace_id=trace_id, limit=2, order_by="name", order_direction="asc")
    assert [span.name for span in oldest] == ["s0", "s1"]


def test_rows_59_to_61_task_filter_matches_task_or_trace(agentex_spans, trace_id):
    task, elsewhere = f"task-{trace_id}", str(uuid.uuid4())
    as_trace = complete_span(task, task_id=None)
    with_task = complete_span(elsewhere, task_id=task)
    neither = complete_span(elsewhere, task_id="other")
    for span in (as_trace, with_task, neither):
        agentex_spans.create(**span)
    assert {span.id for span in agentex_spans.list(task_id=task)} == {as_trace["id"], with_task["id"]}
    assert [span.id for span in agentex_spans.list(task_id=task, trace_id=elsewhere)] == [with_task["id"]]
