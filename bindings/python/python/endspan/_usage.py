"""What a turn used, in the form that billing reads."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

_log = logging.getLogger("endspan")

_KNOWN = (
    "input_tokens",
    "prompt_tokens",
    "output_tokens",
    "completion_tokens",
    "cached_input_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "total_tokens",
    "cost_usd",
)


def split(usage: Any, cost_usd: Any, data: Any) -> tuple[Any, Any, bool]:
    """Returns the usage, the cost, and whether data must make room because it is no object."""
    if usage is not None and not isinstance(usage, Mapping):
        if hasattr(usage, "model_dump"):
            usage = usage.model_dump(mode="json", exclude_none=True)
        elif dataclasses.is_dataclass(usage) and not isinstance(usage, type):
            usage = {key: value for key, value in dataclasses.asdict(usage).items() if value is not None}
        if isinstance(usage, dict):
            lifted = usage.pop("cost_usd", None)
            cost_usd = lifted if cost_usd is None else cost_usd
    if usage and isinstance(usage, Mapping) and not any(key in usage for key in _KNOWN):
        _log.warning("none of the known keys is in a span's usage; it is stored as it is")
    usage = dict(usage) if isinstance(usage, Mapping) else usage
    replace = isinstance(data, (list, tuple, str, int, float)) and (bool(usage) or cost_usd is not None)
    if replace and data:
        _log.warning("a span's data is no object; it makes room for usage")
    return (usage or None, cost_usd, replace)
