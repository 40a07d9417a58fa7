"""The example runs offline, and its trace is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from backend import Backend


def test_the_tool_loop(backend: Backend, tmp_path: Path) -> None:
    example = Path(__file__).parent.parent / "examples" / "tool_loop.py"
    environment = {
        **os.environ,
        "SGP_API_KEY": "key",
        "SGP_ACCOUNT_ID": "account",
        "SGP_CLIENT_BASE_URL": backend.url,
        "ENDSPAN_SPOOL_DIR": str(tmp_path),
        "ENDSPAN_SPOOL": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    run = subprocess.run([sys.executable, str(example)], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["sunny in Berlin; no such city: Atlantis", "sgp: 5 delivered"]

    def tree(parent: str | None, depth: int = 0) -> list[str]:
        children = [item for item in backend.sgp if item.get("parent_id") == parent]
        children.sort(key=lambda item: (item["start_timestamp"], item["name"]))
        lines = []
        for item in children:
            lines.append(f"{'  ' * depth}{item['name']} {item['type']} {item['status']}")
            lines += tree(item["id"], depth + 1)
        return lines

    assert tree(None) == [
        "turn AGENT_WORKFLOW SUCCESS",
        "  chat COMPLETION SUCCESS",
        "  weather EXTERNAL_ENDPOINT SUCCESS",
        "  weather EXTERNAL_ENDPOINT ERROR",
        "  chat COMPLETION SUCCESS",
    ]
    turn = next(item for item in backend.sgp if item["name"] == "turn")
    assert turn["metadata"]["usage"] == {"input_tokens": 50, "output_tokens": 10}
    assert turn["metadata"]["cost_usd"] == 0.0001
