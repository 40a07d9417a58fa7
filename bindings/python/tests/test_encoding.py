"""Python objects to JSON text (`sdk-behaviour` section 2, and what it leaves open)."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import random
import threading
import types
import uuid
from pathlib import Path
from typing import Any

import pytest

import endspan


def encoded(value: Any) -> Any:
    text, placeholders = endspan.encode_json(value)
    assert placeholders == 0, text
    return json.loads(text)


def unencodable(value: Any) -> str:
    text, placeholders = endspan.encode_json(value)
    assert placeholders > 0, text
    return text.decode()


def test_plain_values() -> None:
    value = {"a": [1, -2, 1.5, True, False, None, "x"], "b": {"c": []}, "d": {}, "tuple": (1, 2)}
    assert encoded(value) == {**value, "tuple": [1, 2]}


def test_text_is_compact_and_not_escaped_beyond_need() -> None:
    assert endspan.encode_json({"a": "ü\n\"\\\x01/"})[0] == '{"a":"ü\\n\\"\\\\\\u0001/"}'.encode()


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**100, -(10**30)])
def test_integers_of_any_size(number: int) -> None:
    assert encoded(number) == number


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, 1e16, 123456789.123456789])
def test_floats_come_back_equal(number: float) -> None:
    back = json.loads(endspan.encode_json(number)[0])
    assert back == number and isinstance(back, float)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not_become_null(number: float) -> None:
    assert encoded([number]) == [None]


def test_lone_surrogates_are_replaced() -> None:
    assert encoded({"a": "x\ud800y\udfff", "\ud900": 1}) == {"a": "x\ufffdy\ufffd", "\ufffd": 1}


def test_row_7_datetimes_as_given() -> None:
    naive = datetime.datetime(2024, 5, 6, 7, 8, 9, 10)
    aware = naive.replace(tzinfo=datetime.timezone.utc)
    assert encoded([naive, aware, naive.date(), naive.time()]) == [
        "2024-05-06T07:08:09.000010",
        "2024-05-06T07:08:09.000010+00:00",
        "2024-05-06",
        "07:08:09.000010",
    ]


def test_row_8_sets_become_lists() -> None:
    assert sorted(encoded({3, 1, 2})) == [1, 2, 3]
    assert encoded(frozenset(["a"])) == ["a"]


def test_row_9_functions_become_their_names() -> None:
    assert encoded([json.dumps, print, int]) == [
        "<function json.dumps>",
        "<function builtins.print>",
        "<function builtins.int>",
    ]


def test_standard_library() -> None:
    identifier = uuid.uuid4()
    values = [identifier, decimal.Decimal("1.50"), Path("/a/b"), datetime.timedelta(seconds=90), range(3)]
    assert encoded(values) == [str(identifier), "1.50", "/a/b", "0:01:30", [0, 1, 2]]
    assert encoded(collections.OrderedDict(b=1, a=2)) == {"b": 1, "a": 2}
    assert encoded(collections.deque([1])) == [1]
    assert encoded(types.MappingProxyType({"a": 1})) == {"a": 1}
    assert encoded(collections.namedtuple("Pair", "a b")(1, 2)) == [1, 2]
    assert encoded({"x": 1}.keys()) == ["x"]
    assert encoded(ValueError("boom")) == "ValueError: boom"


def test_bytes() -> None:
    assert encoded([b"text", bytearray(b"more"), memoryview(b"view"), b"\xff\xfe\x00", b"\xff"]) == [
        "text",
        "more",
        "view",
        "base64://4A",
        "base64:/w==",
    ]


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Word(str, enum.Enum):
    YES = "yes"


def test_enums_by_their_value() -> None:
    assert encoded([Colour.RED, Colour.PAIR, Level.HIGH, Word.YES]) == ["red", [1, 2], 3, "yes"]


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date
    inner: Any = None


def test_dataclasses() -> None:
    point = Point(1, datetime.date(2024, 1, 2), Point(2, datetime.date(2024, 1, 3)))
    assert encoded(point) == {
        "x": 1,
        "when": "2024-01-02",
        "inner": {"x": 2, "when": "2024-01-03", "inner": None},
    }


def test_keys_that_are_no_text() -> None:
    key = uuid.uuid4()
    value = {1: "a", True: "b", None: "c", 1.5: "d", key: "e", Word.YES: "f", (1, 2): "g", Level.HIGH: "h"}
    assert encoded(value) == {
        "1": "b",
        "null": "c",
        "1.5": "d",
        str(key): "e",
        "yes": "f",
        "(1, 2)": "g",
        "3": "h",
    }


def test_iterators_belong_to_the_program() -> None:
    generator = (number for number in [1, 2])
    assert encoded({"stream": generator}) == {"stream": "<iterator builtins.generator>"}
    assert list(generator) == [1, 2]


def test_what_has_no_json_form_is_marked_and_the_rest_stays() -> None:
    text, placeholders = endspan.encode_json({"a": 1, "lock": threading.Lock(), "b": 2})
    value = json.loads(text)
    assert placeholders == 1
    assert value["a"] == 1 and value["b"] == 2
    assert "lock" in value["lock"][endspan.UNENCODABLE]["reason"]


def test_cycles_end() -> None:
    cycle: dict[str, Any] = {"list": []}
    cycle["list"].append(cycle)
    assert unencodable(cycle).count("cycle") == 1
    shared = {"x": 1}
    assert encoded([shared, shared]) == [shared, shared]


def test_nesting_is_bounded() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "deeper" in unencodable(deep)
    while deep:
        deep = deep.pop()


class Endless:
    """Stands for itself, anew each time."""

    def __iter__(self) -> Any:
        return iter([Endless()])


def test_objects_that_unfold_without_end_are_bounded() -> None:
    assert "deeper" in unencodable(Endless())


def test_a_bomb_of_shared_lists_is_bounded() -> None:
    bomb: Any = ["x" * 100]
    for _ in range(40):
        bomb = [bomb, bomb]
    assert "larger" in unencodable(bomb)


class Hostile:
    def __iter__(self) -> Any:
        raise RuntimeError("no")


class HostileKey:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Interrupting:
    def __iter__(self) -> Any:
        raise KeyboardInterrupt


def test_what_objects_raise_stays_inside() -> None:
    assert "RuntimeError: no" in unencodable([Hostile()])
    assert "HostileKey" in unencodable({HostileKey(): 1})


def test_an_interrupt_is_the_programs() -> None:
    with pytest.raises(KeyboardInterrupt):
        endspan.encode_json([Interrupting()])


class Mutating(dict):  # type: ignore[type-arg]
    def __init__(self, owner: dict[str, Any]) -> None:
        self.owner = owner

    @property
    def __class__(self) -> Any:
        return dict


class Shrinking:
    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __iter__(self) -> Any:
        self.owner.clear()
        return iter([1])


def test_containers_that_change_meanwhile() -> None:
    owner: dict[str, Any] = {}
    owner.update(a=Shrinking(owner), b="x" * 100, c=[1])
    endspan.encode_json(owner)
    items: list[Any] = []
    items += [Shrinking(items), "x" * 100, [1]]
    endspan.encode_json(items)


def random_value(random_: random.Random, depth: int = 0) -> Any:
    choice = random_.randrange(8 if depth < 5 else 6)
    if choice == 0:
        return random_.randrange(-(2**70), 2**70)
    if choice == 1:
        return random_.uniform(-1e9, 1e9)
    if choice in (2, 3):
        alphabet = "abc \"\\\n\t\x00\x1f\x7fü漢😀"
        return "".join(random_.choice(alphabet) for _ in range(random_.randrange(80)))
    if choice == 4:
        return random_.choice([None, True, False])
    if choice == 5:
        return ""
    if choice == 6:
        return [random_value(random_, depth + 1) for _ in range(random_.randrange(5))]
    return {str(random_value(random_, 9)): random_value(random_, depth + 1) for _ in range(random_.randrange(5))}


def test_random_values_as_the_standard_encoder_has_them() -> None:
    random_ = random.Random(7)
    for _ in range(2000):
        value = random_value(random_)
        assert encoded(value) == json.loads(json.dumps(value))


@pytest.mark.parametrize("length", range(50))
def test_text_of_every_length_with_every_escape_at_every_place(length: int) -> None:
    for special in ('"', "\\", "\n", "\x00", "\x1f", " ", "\x7f", "ü", "漢", "😀"):
        for place in range(length):
            text = "a" * place + special + "a" * (length - place - 1)
            expected = json.dumps(text, ensure_ascii=False).encode()
            assert json.loads(endspan.encode_json(text)[0]) == text
            assert encoded({text: text, "x": {text: None}}) == {text: text, "x": {text: None}}
            if special != "\x7f":
                assert endspan.encode_json(text)[0] == expected
    plain = "b" * length
    assert endspan.encode_json([plain, {plain: 1}])[0] == f'["{plain}",{{"{plain}":1}}]'.encode()


def test_keys_are_written_as_themselves_however_often() -> None:
    # More keys than are remembered, some made anew each time at addresses that others had before.
    names = [f"k{number}" for number in range(700)] + ['q"uote', "back\\slash", "line\n", "", "ü" * 9, "x" * 40]
    for _ in range(3):
        for start in range(0, len(names), 7):
            value = {name: name for name in names[start : start + 7]}
            assert encoded([value, {"".join(name): name for name in value}]) == [value, value]

    class Text(str):
        pass

    assert encoded([{Text("k1"): 1}, {"k1": 2}]) == [{"k1": 1}, {"k1": 2}]


def test_cycles_far_down_end() -> None:
    inner: list[Any] = []
    value: Any = inner
    for _ in range(40):
        value = [value]
    inner.append(value)
    text, placeholders = endspan.encode_json(value)
    assert placeholders == 1 and text.count(b"[") == 41 and b"a cycle" in text


def test_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    values = [numpy.int64(3), numpy.float32(0.5), numpy.float64(1.5), numpy.bool_(True), numpy.str_("x")]
    assert encoded(values) == [3, 0.5, 1.5, True, "x"]
    assert encoded(numpy.arange(6).reshape(2, 3)) == [[0, 1, 2], [3, 4, 5]]
    assert encoded(numpy.array(7)) == 7
    assert encoded([numpy.float64("nan"), numpy.datetime64("2024-01-02")]) == [None, "2024-01-02"]


def test_attrs() -> None:
    attrs = pytest.importorskip("attrs")
    made = attrs.make_class("Made", ["a", "b"])
    assert encoded(made(1, [2])) == {"a": 1, "b": [2]}


def test_row_10_models() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):
        when: datetime.datetime
        colour: Colour

    class Model(pydantic.BaseModel):
        inner: Inner
        things: list[Inner]
        extra: Any = None

    inner = Inner(when=datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), colour=Colour.RED)
    model = Model(inner=inner, things=[inner])
    assert encoded({"model": model}) == {"model": model.model_dump(mode="json")}

    # What pydantic cannot do is done field by field.
    model.extra = print
    assert encoded(model)["extra"] == "<function builtins.print>"
    assert encoded(model)["inner"] == inner.model_dump(mode="json")

    class Own(pydantic.BaseModel):
        a: int = 1

        def model_dump(self, **_: Any) -> Any:
            return {"own": True}

    assert encoded(Own()) == {"own": True}
    assert encoded(Own) == f"<function {Own.__module__}.Own>"
