"""What a tracer delivered."""

from __future__ import annotations

from typing import Any

from backend import Backend

import endspan


def delivered(tracer: endspan.Tracer, backend: Backend) -> dict[str, dict[str, Any]]:
    """Flushes, and returns what SGP has by the spans' names."""
    report = tracer.flush(120)
    assert report.pending == 0 and report.dropped == 0, str(report)
    assert all(account.is_conserved for account in report.accounts)
    return {item["name"]: item for item in backend.sgp}
