"""Types: the package holds to them, the stubs to the native half, and programs get what the documentation says."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import endspan
from endspan import _native

PROGRAM = """
from typing import Any
from typing_extensions import assert_type
import endspan

tracer = endspan.Tracer([endspan.SGPExporter("key", "account"), endspan.AgentexExporter()], linger_ms=5)
assert_type(tracer, endspan.Tracer)
trace = tracer.trace("t")
with trace.span("s", input={"a": 1}, parent=None) as span:
    assert_type(span, endspan.Span)
    span.output = [1]
    span.record_usage({"input_tokens": 1}, cost_usd=0.1)

@trace.span("decorated")
def f(x: int) -> str:
    return str(x)
assert_type(f(1), str)

@endspan.traced
async def g(x: int) -> str:
    async with trace.span("inner") as inner:
        assert_type(inner, endspan.Span)
    return str(x)

@endspan.traced("named", span_type="TOOL")
def h(x: int) -> bytes:
    return bytes(x)
assert_type(h(1), bytes)
assert_type(endspan.carry(f)(1), str)

async def main() -> None:
    assert_type(await g(1), str)
    assert_type(await tracer.flush_async(), endspan.Report)
assert_type(tracer.shutdown().delivered, int)
assert_type(tracer.stats().destinations[0].account.dropped, dict[str, int])
"""


def environment() -> dict[str, str]:
    root = str(Path(endspan.__file__).parent.parent)
    # mypy finds installed packages by itself, and refuses to be told of them.
    return os.environ if "site-packages" in root else {**os.environ, "MYPYPATH": root}  # type: ignore[return-value]


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def mypy() -> None:
    pytest.importorskip("mypy")


def test_the_package_and_a_program_hold_to_strict_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    run("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "--package", "endspan")
    run("mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program))


def test_stubs_are_what_the_native_half_is() -> None:
    run("mypy.stubtest", "endspan._native", "--ignore-missing-stub")


def test_everything_public_has_documentation() -> None:
    missing = []
    for name in endspan.__all__:
        thing = getattr(endspan, name)
        if not callable(thing):
            continue
        if not inspect.getdoc(thing):
            missing.append(name)
        if inspect.isclass(thing):
            members = vars(thing).items()
            missing += [
                f"{name}.{member}"
                for member, value in members
                if not member.startswith("_") and not inspect.getdoc(value) and not isinstance(value, (int, str, tuple))
            ]
    assert missing == []
    assert _native.__doc__ and endspan.__doc__


def test_the_package_says_what_it_is() -> None:
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        about = metadata("endspan")
    except PackageNotFoundError:
        pytest.skip("not installed")
    assert about["Version"] == endspan.__version__
    assert about["License-Expression"] == "Apache-2.0" and about.get_all("License-File") == ["LICENSE"]
    assert about["Requires-Python"] == ">=3.10" and about.get_all("Requires-Dist") is None
    assert "Typing :: Typed" in (about.get_all("Classifier") or ())
    assert about["Summary"] and about["Description-Content-Type"].startswith("text/markdown")
