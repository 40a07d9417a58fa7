"""Captures what real instrumentations send, as fixtures for the tests of crates/otlp.

    python3.12 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python capture.py                # all scenarios
    .venv/bin/python capture.py pydantic-ai    # some

Every scenario is a small program under one instrumentation. It runs in its own process against scripted
models on loopback and exports to a collector on loopback. The bodies it sends are stored as they came, one
after the other (an OTLP request is a protobuf message of one repeated field, so that concatenated requests are one
request), in ``fixtures/otlp/<scenario>.pb``; only the folders of files are cut off. ``manifest.json``
beside them names the package versions. Packages of yesterday need an environment of their own:
``requirements-yesterday.txt`` and the scenarios whose names end in a version.
The Vercel AI SDK is captured by ``vercel/capture.mjs``, which sends JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import scripted_models
from scenarios.programs import SCENARIOS

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent.parent / "fixtures" / "otlp"
TIMEOUT_SECONDS = 120


def run_scenario(name: str, models_url: str, collector_url: str) -> None:
    """Runs a scenario in a process of its own."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith("OTEL_") and key.lower() not in ("http_proxy", "https_proxy", "all_proxy")
    }
    environment |= {
        "CAPTURE_MODELS": models_url,
        "CAPTURE_COLLECTOR": collector_url,
        "OPENAI_API_KEY": "none",
        "NO_PROXY": "127.0.0.1",
        "LANGFUSE_TRACING_ENVIRONMENT": "capture",
    }
    code = f"from scenarios.programs import SCENARIOS; SCENARIOS[{name!r}][0]()"
    with tempfile.TemporaryDirectory() as directory:
        # Some write files into the folder that they run in.
        environment["PYTHONPATH"] = str(HERE)
        command = [sys.executable, "-c", code]
        subprocess.run(command, cwd=directory, env=environment, check=True, timeout=TIMEOUT_SECONDS)


def capture(name: str, models: scripted_models.Loopback) -> bytes:
    """Runs a scenario; returns the bodies that it sent, one after the other."""
    collector = scripted_models.collector()
    run_scenario(name, models.url, collector.url)
    bodies = [
        exchange.body for exchange in collector.exchanges if exchange.path.partition("?")[0].endswith("/v1/traces")
    ]
    collector.close()
    if not bodies:
        seen = sorted({exchange.path for exchange in collector.exchanges})
        raise SystemExit(f"{name}: nothing was exported, only {seen}")
    return b"".join(bodies)


def without_folders(body: bytes) -> bytes:
    """Returns a request that names files without the folders of this machine."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                for attribute in span.attributes:
                    if attribute.key in ("code.filepath", "code.file.path"):
                        attribute.value.string_value = pathlib.PurePath(attribute.value.string_value).name
                for event in span.events:
                    for attribute in event.attributes:
                        text = attribute.value.string_value
                        if attribute.key == "exception.stacktrace":
                            attribute.value.string_value = re.sub(r'File "/.*?/([^/"]+/[^/"]+)"', r'File "\1"', text)
    return request.SerializeToString()


def main(names: list[str]) -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    manifest_path = FIXTURES / "manifest.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.exists() else {}
    for name in names or [name for name in SCENARIOS if "@" not in name]:
        models = scripted_models.models()
        body = without_folders(capture(name, models))
        models.close()
        (FIXTURES / f"{name}.pb").write_bytes(body)
        packages = SCENARIOS[name][1]
        manifest[name] = {package: importlib.metadata.version(package) for package in packages}
        print(f"{name}: {len(body)} bytes")
    manifest_path.write_text(json.dumps(dict(sorted(manifest.items())), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
