"""The loss cases of `bench/python/faults.py`, shortened."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "bench" / "python" / "faults.py"
CASES = ["sigkill", "503", "refused", "poison", "shutdown", "exit"]


@pytest.fixture(scope="module")
def faults() -> Any:
    if not SCRIPT.exists():
        pytest.skip("outside of the repository")
    spec = importlib.util.spec_from_file_location("faults", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = sys.modules["faults"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", CASES)
def test_the_account_closes(faults: Any, case: str) -> None:
    assert list(faults.CASES) == CASES
    with faults.scene(quick=True) as scene:
        outcome = faults.CASES[case].run(scene)
    assert outcome.closes, outcome
    assert outcome.lost == faults.CASES[case].expected, outcome
