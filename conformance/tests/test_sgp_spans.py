"""The spans resource of the SGP client: what is written is read back equal."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

import pytest
from conftest import ACCOUNT
from expect import NUL_PAYLOAD, ODD_PAYLOADS, assert_same
from scale_gp_beta import APIStatusError, ConflictError, NotFoundError, SGPClient, UnprocessableEntityError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

START = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=timezone.utc)
END = START + timedelta(milliseconds=1234.567)


def complete_span(trace_id: str, **changes: object) -> dict:
    span = {
        "id": str(uuid.uuid4()),
        "trace_id": trace_id,
        "name": "plan the trip",
        "start_timestamp": START,
        "end_timestamp": END,
        "input": {"question": "where to?", "n": 1},
        "output": {"answer": "north", "score": 0.5},
        "metadata": {"step": 3},
        "expected": {"answer": "north"},
        "status": "SUCCESS",
        "type": "COMPLETION",
        "group_id": "group-1",
        "application_variant_id": "variant-1",
        "application_interaction_id": "interaction-1",
        "obs_trace_id": "0af7651916cd43dd8448eb211c80319c",
        "obs_span_id": "b7ad6b7169203331",
    }
    return span | changes


def assert_span(sent: dict, actual: object) -> None:
    """Asserts every field that was sent, and that nothing else is set but what the server knows itself."""
    assert_same(sent, {field: getattr(actual, field) for field in sent})
    assert actual.account_id == ACCOUNT
    assert actual.object == "span"
    own = {"account_id", "object", "created_by", "input_tokens", "output_tokens", "type", "status"}
    extra = {name for name, value in actual.to_dict().items() if value is not None} - set(sent) - own
    assert not extra, f"fields that nobody sent: {extra}"


def test_row_1_the_least_span(sgp_spans, trace_id):
    created = sgp_spans.create(name="n", start_timestamp=START, trace_id=trace_id)
    assert uuid.UUID(created.id)
    assert_span({"id": created.id, "name": "n", "start_timestamp": START, "trace_id": trace_id}, created)
    assert_span({"id": created.id, "name": "n", "trace_id": trace_id, "start_timestamp": START}, sgp_spans.retrieve(created.id))


def test_create_then_retrieve_returns_every_field(sgp_spans, trace_id):
    span = complete_span(trace_id)
    assert_span(span, sgp_spans.create(**span))
    assert_span(span, sgp_spans.retrieve(span["id"]))


@pytest.mark.parametrize("case", ODD_PAYLOADS)
def test_odd_payloads_come_back_equal_in_every_field(sgp_spans, trace_id, case):
    payload = ODD_PAYLOADS[case]
    span = complete_span(trace_id, input=payload, output={"in": [payload]}, metadata=payload, expected=payload)
    answer = sgp_spans.upsert_batch(items=[span])
    assert_span(span, answer.items[0])
    assert_span(span, sgp_spans.retrieve(span["id"]))


def test_row_10_nul_is_replaced(sgp_spans, trace_id):
    span = complete_span(trace_id, name="a\u0000b", input=NUL_PAYLOAD)
    replaced = {"text": "before\ufffdafter", "\ufffdkey": ["\ufffd"]}
    expected = span | {"name": "a\ufffdb", "input": replaced}
    assert_span(expected, sgp_spans.create(**span))
    assert_span(expected, sgp_spans.retrieve(span["id"]))


def test_rows_12_13_credentials_are_redacted(sgp_spans, trace_id):
    span = complete_span(trace_id, metadata={"authorization": "Bearer x.y.z", "kept": "as is"})
    sgp_spans.create(**span)
    expected = span | {"metadata": {"authorization": "[REDACTED:credential]", "kept": "as is"}}
    assert_span(expected, sgp_spans.retrieve(span["id"]))


@pytest.mark.parametrize("write", ["batch", "upsert_batch"])
def test_rows_14_15_27_a_batch_of_1000_comes_back_in_order(sgp_spans, trace_id, write):
    root = complete_span(trace_id)
    spans = [root] + [complete_span(trace_id, parent_id=root["id"], name=f"s{index}") for index in range(1, 1000)]
    answer = getattr(sgp_spans, write)(items=spans)
    assert answer.object == "list"
    assert [item.id for item in answer.items] == [span["id"] for span in spans]
    for index in (0, 1, 500, 999):
        assert_span(spans[index], sgp_spans.retrieve(spans[index]["id"]))


@pytest.mark.parametrize("write", ["batch", "upsert_batch"])
def test_rows_14_15_more_than_1000_are_refused(sgp_spans, trace_id, write):
    with pytest.raises(UnprocessableEntityError):
        getattr(sgp_spans, write)(items=[complete_span(trace_id) for _ in range(1001)])


def test_row_16_a_bad_item_refuses_the_whole_batch_and_is_named(sgp_spans, trace_id):
    good, bad = complete_span(trace_id), complete_span(trace_id, end_timestamp=START - timedelta(seconds=1))
    with pytest.raises(UnprocessableEntityError, match="end_timestamp"):
        sgp_spans.upsert_batch(items=[good, bad])
    with pytest.raises(NotFoundError):
        sgp_spans.retrieve(good["id"])


def test_rows_9_17_parents_stay_in_their_trace_and_make_no_cycle(sgp_spans, trace_id):
    elsewhere = complete_span(str(uuid.uuid4()))
    sgp_spans.create(**elsewhere)
    with pytest.raises(ConflictError):
        sgp_spans.create(**complete_span(trace_id, parent_id=elsewhere["id"]))
    one, two = complete_span(trace_id), complete_span(trace_id)
    with pytest.raises(ConflictError):
        sgp_spans.upsert_batch(items=[one | {"parent_id": two["id"]}, two | {"parent_id": one["id"]}])


def test_row_18_an_item_without_id_gets_one(sgp_spans, trace_id):
    span = complete_span(trace_id)
    del span["id"]
    (item,) = sgp_spans.upsert_batch(items=[span]).items
    assert uuid.UUID(item.id)
    assert_span(span | {"id": item.id}, sgp_spans.retrieve(item.id))


def test_rows_19_to_24_completed_beats_unfinished_else_the_later_wins(sgp_spans, trace_id):
    finished = complete_span(trace_id)
    unfinished = {name: value for name, value in finished.items() if name not in ("end_timestamp", "output")}
    later = finished | {"output": {"answer": "south"}}
    sgp_spans.upsert_batch(items=[finished, unfinished])
    assert_span(finished, sgp_spans.retrieve(finished["id"]))
    sgp_spans.upsert_batch(items=[unfinished])
    assert_span(finished, sgp_spans.retrieve(finished["id"]))
    sgp_spans.upsert_batch(items=[later])
    assert_span(later, sgp_spans.retrieve(finished["id"]))
    sgp_spans.upsert_batch(items=[later])
    assert_span(later, sgp_spans.retrieve(finished["id"]))


def test_row_31_update_changes_only_what_it_names(sgp_spans, trace_id):
    span = complete_span(trace_id)
    sgp_spans.create(**span)
    expected = span | {"status": "ERROR", "output": {"failed": True}}
    assert_span(expected, sgp_spans.update(span["id"], status="ERROR", output={"failed": True}))
    assert_span(expected, sgp_spans.retrieve(span["id"]))


def test_rows_28_32_unknown_ids_are_not_found(sgp_spans):
    with pytest.raises(NotFoundError):
        sgp_spans.retrieve(str(uuid.uuid4()))
    with pytest.raises(NotFoundError):
        sgp_spans.update(str(uuid.uuid4()), name="n")


def test_row_29_ids_in_paths_are_decoded(sgp_spans, trace_id):
    span = complete_span(trace_id, id=f"a/b c%{uuid.uuid4()}")
    sgp_spans.create(**span)
    assert_span(span, sgp_spans.retrieve(span["id"]))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"id": "x" * 257}, 422),
        ({"id": "é" * 200}, 400),
        ({"end_timestamp": START - timedelta(microseconds=1)}, 422),
        ({"input": [{"a": 1}]}, 422),
        ({"input": "text"}, 422),
        ({"status": "BAD"}, 422),
        ({"type": "LLM"}, 422),
        ({"obs_trace_id": None, "obs_span_id": "b7ad6b7169203331"}, 422),
        ({"id": "a\u0000b"}, 400),
        ({"trace_id": "a\u0000b"}, 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rows_2_to_11_bad_fields_are_named(sgp_spans, trace_id, change, status):
    field = next(iter(change))
    span = {name: value for name, value in (complete_span(trace_id) | change).items() if value is not None}
    with pytest.raises(APIStatusError) as refusal:
        sgp_spans.create(**span)
    assert refusal.value.status_code == status
    assert field.removesuffix("_trace_id") in refusal.value.response.text


def test_row_21_one_id_in_two_traces_is_two_spans(sgp_spans, server, trace_id):
    here, there = complete_span(trace_id), complete_span(str(uuid.uuid4()))
    there["id"] = here["id"]
    sgp_spans.upsert_batch(items=[here, there])
    for span in (here, there):
        read = server.get(f"/api/traces/{span['trace_id']}?payloads=true")
        assert [one["id"] for one in read["spans"]] == [here["id"]]


def test_accounts_do_not_see_each_other(sgp_spans, server, trace_id):
    span = complete_span(trace_id)
    sgp_spans.create(**span)
    with SGPClient(api_key="key", account_id="another", base_url=server.url, max_retries=0) as other:
        with pytest.raises(NotFoundError):
            other.spans.retrieve(span["id"])


def test_the_local_environment_finds_the_api_under_public(server, trace_id):
    """The client's `local` environment is http://127.0.0.1:5003/public."""
    from scale_gp_beta._client import ENVIRONMENTS

    assert ENVIRONMENTS["local"].endswith(":5003/public")
    with SGPClient(api_key="key", account_id=ACCOUNT, base_url=f"{server.url}/public", max_retries=0) as client:
        span = complete_span(trace_id)
        client.spans.upsert_batch(items=[span])
        assert_span(span, client.spans.retrieve(span["id"]))
