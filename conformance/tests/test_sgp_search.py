"""Search through the SGP client: filters, pages, cursors."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest
from conftest import ACCOUNT
from expect import assert_same
from scale_gp_beta import SGPClient, UnprocessableEntityError

START = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def needs_the_route(server):
    if "/v5/spans/search" not in server.get("/openapi.json")["paths"]:
        pytest.skip("SKIPPED: the server has no search yet")


def span(trace_id: str, index: int, **changes: object) -> dict:
    start = START + timedelta(seconds=index)
    return {
        "id": f"s{index}-{trace_id}",
        "trace_id": trace_id,
        "name": f"step {index}",
        "start_timestamp": start,
        "end_timestamp": start + timedelta(milliseconds=5 * index),
        "input": {"text": f"needle{index}"},
        "status": "SUCCESS",
    } | changes


def ids(page: object) -> list[str]:
    return [item.id for item in page.items]


def test_row_35_a_client_follows_pages_by_itself(sgp_spans, server, trace_id):
    spans = [span(trace_id, index) for index in range(5)]
    sgp_spans.upsert_batch(items=spans)
    page = sgp_spans.search(trace_ids=[trace_id], limit=2, sort_by="start_timestamp", sort_order="asc")
    assert (ids(page), page.has_more) == ([one["id"] for one in spans[:2]], True)
    with SGPClient(api_key="key", account_id=ACCOUNT, base_url=server.url, max_retries=0) as client:
        followed = list(client.spans.search(trace_ids=[trace_id], limit=2, sort_by="start_timestamp", sort_order="asc"))
    assert [one.id for one in followed] == [one["id"] for one in spans]
    assert_same(spans[3]["input"], followed[3].input)


def test_row_36_ending_before_pages_back(sgp_spans, trace_id):
    spans = [span(trace_id, index) for index in range(5)]
    sgp_spans.upsert_batch(items=spans)
    page = sgp_spans.search(
        trace_ids=[trace_id], limit=2, sort_by="start_timestamp", sort_order="asc", ending_before=spans[2]["id"]
    )
    assert ids(page) == [one["id"] for one in spans[:2]]


def test_rows_40_41_identities_are_pairs(sgp_spans, trace_id):
    elsewhere = str(uuid.uuid4())
    here, there = span(trace_id, 1), span(elsewhere, 1)
    there["id"] = here["id"]
    sgp_spans.upsert_batch(items=[here, there])
    assert len(ids(sgp_spans.search(span_ids=[here["id"]]))) == 2
    (found,) = sgp_spans.search(spans=[{"trace_id": trace_id, "span_id": here["id"]}]).items
    assert found.trace_id == trace_id


def test_rows_43_44_47_filters(sgp_spans, trace_id):
    root = span(trace_id, 0)
    child = span(trace_id, 1, parent_id=root["id"], status="ERROR")
    grandchild = span(trace_id, 2, parent_id=child["id"])
    running = span(trace_id, 3, parent_id=root["id"])
    del running["end_timestamp"]
    sgp_spans.upsert_batch(items=[root, child, grandchild, running])

    def found(**filters: object) -> set[str]:
        return set(ids(sgp_spans.search(trace_ids=[trace_id], **filters)))

    assert found(parents_only=True) == {root["id"]}
    assert found(parent_ids=[root["id"]]) == {child["id"], running["id"]}
    assert found(statuses=["ERROR"]) == {child["id"]}
    assert found(min_duration_ms=5, max_duration_ms=10) == {child["id"], grandchild["id"]}
    assert found(search_texts=["needle2"]) == {grandchild["id"]}
    assert found(search_texts=["needle"]) == set()


def test_row_37_a_reversed_window_is_refused(sgp_spans):
    with pytest.raises(UnprocessableEntityError):
        sgp_spans.search(from_ts="2026-03-15T00:00:00Z", to_ts="2026-03-14T00:00:00Z")
