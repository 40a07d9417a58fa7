"""A program of its own, run against a backend of this one; and the next process, which takes over what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from backend import Backend

PRELUDE = """
import json, os, sys, threading, time
import endspan

def make():
    return endspan.Tracer([endspan.SGPExporter("key", "account", os.environ["BACKEND"])], linger_ms=20)

def span(trace, name):
    with trace.span(name, input={"n": name}) as span:
        span.output = {"ok": True}
    return span.id

def said(*names):
    # What this process produced: the parent compares it with what arrived.
    with open(os.environ["PRODUCED"], "a") as out:
        out.write("".join(f"{name}\\n" for name in names))
"""


class Case:
    """A program, its backend, its spool."""

    def __init__(self, backend: Backend, directory: Path) -> None:
        self.backend = backend
        self.directory = directory
        self.produced_file = directory / "produced"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ENDSPAN_")},
            "BACKEND": backend.url,
            "PRODUCED": str(self.produced_file),
            "ENDSPAN_SPOOL_DIR": str(directory / "spool"),
            "ENDSPAN_SHUTDOWN_TIMEOUT_MS": "10000",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    def start(self, program: str, **environment: str) -> subprocess.Popen[str]:
        path = self.directory / "program.py"
        path.write_text(PRELUDE + textwrap.dedent(program))
        return subprocess.Popen(
            [sys.executable, str(path)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, expect: int = 0, **environment: str) -> str:
        process = self.start(program, **environment)
        out, err = process.communicate(timeout=300)
        assert process.returncode == expect, f"ended with {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out

    def recover(self) -> dict[str, Any]:
        """What the next process does: takes over what the spool holds."""
        program = """
            tracer = make()
            for _ in range(400):
                report = tracer.flush(5)
                stats = tracer.stats()
                if stats.recovered_records and not stats.pending and not stats.unread_records:
                    break
                time.sleep(0.01)
            print(json.dumps({"recovered": stats.recovered_records, "open": stats.recovered_open_spans}))
        """
        return json.loads(self.run(program))

    @property
    def produced(self) -> set[str]:
        return set(self.produced_file.read_text().split("\n")) - {""} if self.produced_file.exists() else set()

    @property
    def names(self) -> set[str]:
        with self.backend.lock:
            return {item["name"] for item in self.backend.sgp}

    def complete(self) -> None:
        assert self.produced and self.names == self.produced
        assert len(self.backend.ids()) == len(self.produced), "ids are not unique"
