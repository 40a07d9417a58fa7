"""Strict equality, and payloads that break careless servers."""

from __future__ import annotations


def assert_same(expected: object, actual: object, path: str = "$") -> None:
    """Asserts equality in type, value and key order: 1 is not 1.0, -0.0 is not 0.0, {} is not null."""
    assert type(expected) is type(actual), f"{path}: {expected!r} came back as {actual!r}"
    if isinstance(expected, dict):
        assert list(expected) == list(actual), f"{path}: keys {list(expected)} came back as {list(actual)}"
        for key, value in expected.items():
            assert_same(value, actual[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(expected) == len(actual), f"{path}: {len(expected)} items came back as {len(actual)}"
        for index, (left, right) in enumerate(zip(expected, actual)):
            assert_same(left, right, f"{path}[{index}]")
    elif isinstance(expected, float):
        assert repr(expected) == repr(actual), f"{path}: {expected!r} came back as {actual!r}"
    else:
        assert expected == actual, f"{path}: {expected!r} came back as {actual!r}"


def nested(depth: int) -> dict:
    value: dict = {"leaf": True}
    for level in range(depth):
        value = {"level": level, "in": [value]}
    return value


ODD_PAYLOADS: dict[str, dict] = {
    "empty object": {},
    "empty containers inside": {"object": {}, "array": [], "arrays": [[], [[]]], "text": "", "null": None},
    "empty and odd keys": {"": 1, " ": 2, "a.b": 3, "a b": 4, "$or": 5, "__proto__": 6, "é": 7, '"': 8, "\\": 9},
    "key order": {"z": 1, "a": 2, "m": {"y": 1, "b": 2}, "1": 0, "0": 0},
    "integers": {
        "zero": 0,
        "negative": -1,
        "53 bits": 2**53 + 1,
        "63 bits": 2**63 - 1,
        "64 bits": 2**64 - 1,
        "least": -(2**63),
        "30 digits": 123456789012345678901234567890,
        "300 digits": 10**300 + 7,
    },
    "floats": {
        "integral": 2.0,
        "negative zero": -0.0,
        "tenth": 0.1,
        "many digits": 0.30000000000000004,
        "smallest": 5e-324,
        "largest": 1.7976931348623157e308,
        "large": 1e22,
    },
    "booleans are no numbers": {"true": True, "one": 1, "false": False, "zero": 0},
    "text of many scripts": {
        "greek": "Ὦ ἄνδρες",
        "arabic": "مرحبا بالعالم",
        "chinese": "漢字かな交じり文",
        "thai": "สวัสดี",
        "combining": "e\u0301 \u1112\u1161\u11ab",
        "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
        "highest": "\U0010ffff",
        "bidi": "\u202eabc\u202c",
        "separators": "a\u2028b\u2029c",
        "mark": "\ufeffstart",
        "replacement": "\ufffd",
    },
    "escapes": {"controls": "".join(map(chr, range(1, 32))), "delete": "\x7f", "quote": 'a"b', "slash": "a\\b/c", "html": "</script><!-- &amp;"},
    "looks like other things": {"number": "123", "date": "2024-01-01T00:00:00Z", "json": '{"a":1}', "null": "null", "sql": "'; DROP TABLE spans; --"},
    "deep": nested(120),
    "long text": {"text": "0123456789abcdef" * 65_536},
    "many items": {"items": [{"index": index, "value": index / 7} for index in range(5_000)]},
    "many keys": {f"key-{index}": index for index in range(2_000)},
    "chat": {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "You answer briefly."},
            {"role": "user", "content": "What is in the picture?\n\n- one\n- two"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": {"name": "look", "arguments": '{"x": 1}'}}]},
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 34},
    },
}

NUL_PAYLOAD = {"text": "before\u0000after", "\u0000key": ["\u0000"]}
