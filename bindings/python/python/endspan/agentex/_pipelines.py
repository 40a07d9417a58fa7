"""What is common to the parts of an installation: patches, and the tracers behind sets of processors."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

from .. import _native
from .._tracer import Tracer

_log = logging.getLogger("endspan")
_MISSING = object()


class Patches:
    """Attributes that were replaced, and what they were."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        before = vars(owner).get(name, _MISSING)
        self._before.append((owner, name, before))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        for owner, name, before in reversed(self._before):
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self._before.clear()


class Pipelines:
    """The tracers behind sets of processors."""

    def __init__(self, settings: dict[str, Any], types: dict[type, str], sgp_config: Any) -> None:
        self._settings = settings
        self.types = types
        self._sgp_config = sgp_config
        self._lock = threading.Lock()
        # By the identities of processors, which are held so that the identities stay theirs.
        self._splits: dict[tuple[int, ...], tuple[Tracer | None, list[Any], list[Any]]] = {}
        self._tracers: dict[tuple[Any, ...], Tracer] = {}

    def split(self, processors: Any) -> tuple[Tracer | None, list[Any], list[Any]]:
        """Returns the pipeline of the known processors, the other processors, and all of them."""
        key = tuple(map(id, processors))
        found = self._splits.get(key)
        return found if found is not None else self._new_split(key, list(processors))

    def _new_split(self, key: tuple[int, ...], processors: list[Any]) -> tuple[Tracer | None, list[Any], list[Any]]:
        with self._lock:
            kinds: list[tuple[Any, ...]] = []
            others = []
            for processor in processors:
                kind = self.types.get(type(processor))
                if kind is None:
                    others.append(processor)
                elif kind == "sgp":
                    config = self._sgp_config(processor)
                    destination = (
                        "sgp",
                        getattr(config, "sgp_api_key", None),
                        getattr(config, "sgp_account_id", None),
                        getattr(config, "sgp_base_url", None),
                    )
                    if destination not in kinds:
                        kinds.append(destination)
                elif ("agentex",) not in kinds:
                    kinds.append(("agentex",))
            tracer = None
            if kinds:
                tracer = self._tracers.get(tuple(kinds))
                if tracer is None:
                    # Observability ids are agentex-sdk's own business here.
                    tracer = Tracer([_exporter(kind) for kind in kinds], observe=None, **self._settings)
                    self._tracers[tuple(kinds)] = tracer
            found = (tracer, others, processors)
            if len(self._splits) > 256:
                self._splits.clear()
            self._splits[key] = found
            return found

    def tracers(self) -> list[Tracer]:
        with self._lock:
            return list(self._tracers.values())


def _exporter(kind: tuple[Any, ...]) -> _native.Exporter:
    if kind[0] == "agentex":
        return _native.AgentexExporter()
    return _native.SGPExporter(*kind[1:])


def copied(span: Any) -> Any:
    """A deep copy for processors of the program, or as much of one as can be had."""
    try:
        return span.model_copy(deep=True)
    except Exception:
        copy = span.model_copy()
        for name in ("input", "output", "data"):
            setattr(copy, name, _native.normalise(getattr(copy, name)))
        return copy


def swallowed(what: str) -> None:
    _log.warning("%s; the program goes on", what, exc_info=True)


def import_or_none(name: str) -> Any:
    """A module that not every release has."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
