"""What people say of spans, through the SGP client."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from conftest import ACCOUNT
from scale_gp_beta import BadRequestError, ConflictError, NotFoundError, SGPClient, UnprocessableEntityError

START = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=timezone.utc)


@pytest.fixture
def client(server):
    with SGPClient(api_key="key", account_id=ACCOUNT, base_url=server.url, max_retries=0) as client:
        yield client


@pytest.fixture
def spans(client, trace_id):
    """A root and its child."""
    root = {"id": f"root-{trace_id}", "trace_id": trace_id, "name": "run", "start_timestamp": START}
    child = root | {"id": f"child-{trace_id}", "parent_id": root["id"]}
    client.spans.upsert_batch(items=[root, child])
    return root["id"], child["id"]


CONTENT = {
    "comment": "not what was asked for",
    "rating": 2,
    "approval": "rejected",
    "rubric": {"polite": "yes"},
    "metadata": {"reviewer": {"team": "a"}},
    "overwrite": {"content": "what was asked for"},
}


def test_assessments_of_every_type_come_back(client, spans, trace_id):
    root, child = spans
    made = [
        client.span_assessments.create(assessment_type=kind, trace_id=trace_id, span_id=child, **{kind: content})
        for kind, content in CONTENT.items()
    ]
    for one, (kind, content) in zip(made, CONTENT.items(), strict=True):
        assert (one.assessment_type, getattr(one, kind), one.span_id) == (kind, content, child)
        assert (one.account_id, one.object) == (ACCOUNT, "span.assessment")
        assert client.span_assessments.retrieve(one.assessment_id) == one
    assert client.span_assessments.list(span_id=child).items == made
    assert list(client.span_assessments.list(trace_id=trace_id, assessment_type="rating")) == [made[1]]
    assert client.span_assessments.list(span_id=root).items == []
    without_span = client.span_assessments.create(assessment_type="rating", rating=5, trace_id=trace_id)
    assert without_span.span_id == root


def test_changes_and_deletions(client, spans, trace_id):
    made = client.span_assessments.create(assessment_type="rating", rating=2, trace_id=trace_id)
    changed = client.span_assessments.update(made.assessment_id, rating=4, comment="on reflection")
    assert (changed.rating, changed.comment, changed.created_at) == (4, "on reflection", made.created_at)
    with pytest.raises(UnprocessableEntityError):
        client.span_assessments.update(made.assessment_id, approval="approved")
    deleted = client.span_assessments.delete(made.assessment_id)
    assert (deleted.id, deleted.deleted) == (made.assessment_id, True)
    with pytest.raises(NotFoundError):
        client.span_assessments.retrieve(made.assessment_id)


def test_row_70_refusals(client, spans, trace_id):
    client.span_assessments.create(assessment_type="overwrite", overwrite={}, trace_id=trace_id)
    with pytest.raises(ConflictError):
        client.span_assessments.create(assessment_type="overwrite", overwrite={}, trace_id=trace_id)
    with pytest.raises(BadRequestError):
        client.span_assessments.list()
    with pytest.raises(NotFoundError):
        client.span_assessments.create(assessment_type="comment", comment="x", trace_id=trace_id, span_id="none")
    with pytest.raises(UnprocessableEntityError):
        client.span_assessments.create(assessment_type="rating", rating=6, trace_id=trace_id)


def test_spans_are_found_by_their_assessments(client, spans, trace_id):
    _, child = spans
    client.span_assessments.create(assessment_type="rating", rating=1, trace_id=trace_id, span_id=child)
    found = client.spans.search(trace_ids=[trace_id], assessment_types=["rating"])
    assert [item.id for item in found.items] == [child]
    assert client.spans.search(trace_ids=[trace_id], assessment_types=["approval"]).items == []
    found = client.spans.search(trace_ids=[trace_id], extra_query={"assessment": "rating:<3"})
    assert [item.id for item in found.items] == [child]
