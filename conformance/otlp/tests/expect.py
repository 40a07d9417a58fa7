"""Compares a span that was sent as OTLP protobuf with what the server gives back."""

from __future__ import annotations

import base64
import json
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

STATUS = {0: "SUCCESS", 1: "SUCCESS", 2: "ERROR"}


def value(any_value: AnyValue) -> Any:
    """Returns an attribute's value in the form of ``docs/otlp-mapping.md``."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value(one) for one in any_value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: value(pair.value) for pair in any_value.kvlist_value.values}
    if kind == "bytes_value":
        return {"$otlp": "bytes", "value": base64.b64encode(any_value.bytes_value).decode()}
    return getattr(any_value, kind)


def assert_same(sent: Any, read: Any, where: str) -> None:
    """Text that is JSON may come back as the JSON that it is; everything else as it was, type included."""
    if isinstance(sent, str) and isinstance(read, (dict, list)):
        sent = json.loads(sent)
    assert type(sent) is type(read) and sent == read, f"{where}: {sent!r} came back as {read!r}"


def assert_span(sent: Span, resource: Resource, scope: tuple[str, str], read: dict[str, Any]) -> None:
    """Asserts that nothing of a span is lost."""
    where = f"{scope[0]} {sent.name}"
    assert read["trace_id"] == sent.trace_id.hex()
    assert read["id"] == sent.span_id.hex()
    assert read["parent_id"] == (sent.parent_span_id.hex() or None)
    assert read["name"] == sent.name
    assert read["status"] == STATUS[sent.status.code], where
    attributes: dict[str, Any] = {}
    for side in ("input", "output", "metadata"):
        attributes.update(read[side] or {})
    assert attributes.keys() == {pair.key for pair in sent.attributes}, where
    for pair in sent.attributes:
        assert_same(value(pair.value), attributes[pair.key], f"{where}: {pair.key}")
    otel = read["otel"]
    assert otel.get("kind", 0) == sent.kind, where
    assert otel.get("status_message", "") == sent.status.message, where
    assert otel["scope"]["name"] == scope[0]
    assert otel["scope"].get("version", "") == scope[1]
    assert otel["resource"].get("attributes", {}) == {pair.key: value(pair.value) for pair in resource.attributes}
    for number, (event, read_event) in enumerate(zip(sent.events, otel.get("events", []), strict=True)):
        assert read_event["name"] == event.name
        assert read_event["time_unix_nano"] == str(event.time_unix_nano)
        for pair in event.attributes:
            assert_same(value(pair.value), read_event["attributes"][pair.key], f"{where}: event {number}: {pair.key}")
    for link, read_link in zip(sent.links, otel.get("links", []), strict=True):
        assert read_link["trace_id"] == link.trace_id.hex()
        assert read_link["span_id"] == link.span_id.hex()
        assert read_link.get("attributes", {}) == {pair.key: value(pair.value) for pair in link.attributes}
