from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# A developer's own settings must not reach the tests, nor the tests their spool.
for name in list(os.environ):
    if name.startswith(("AGENTEX_", "SGP_", "AGENT_", "ACP_", "ENDSPAN_", "OTEL_", "DD_")):
        del os.environ[name]
os.environ["ENDSPAN_SPOOL"] = "0"
os.environ["DD_TRACE_ENABLED"] = "false"
# What agentex-sdk asks for before it traces.
os.environ.update(AGENT_NAME="an-agent", ACP_URL="http://127.0.0.1:9", LITELLM_LOCAL_MODEL_COST_MAP="True")

from backend import Backend  # noqa: E402
from program import Case  # noqa: E402

import endspan  # noqa: E402


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.close()


@pytest.fixture
def tracer(backend: Backend) -> Iterator[endspan.Tracer]:
    tracer = endspan.Tracer(
        exporters=[endspan.SGPExporter("key", "account", backend.url), endspan.AgentexExporter(backend.url)],
        linger_ms=1,
        spool=False,
    )
    yield tracer
    tracer.shutdown(5)


@pytest.fixture
def case(backend: Backend, tmp_path: Path) -> Case:
    return Case(backend, tmp_path)
