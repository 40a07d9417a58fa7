"""The native half: encoding, spans, pipeline."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypeVar, final

from typing_extensions import Self, disjoint_base

_F = TypeVar("_F", bound=Callable[..., Any])
_M = TypeVar("_M", bound=MutableMapping[str, str])
_Time = datetime | float
_Headers = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]

__version__: str
UNENCODABLE: str

@disjoint_base
class Exporter:
    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def disabled(self) -> str | None: ...

@final
class SGPExporter(Exporter):
    def __new__(
        cls,
        api_key: str | None = None,
        account_id: str | None = None,
        base_url: str | None = None,
        *,
        write_starts: bool | None = None,
        agent_tags: bool = True,
    ) -> Self: ...

@final
class AgentexExporter(Exporter):
    def __new__(
        cls,
        base_url: str | None = None,
        api_key: str | None = None,
        agent_api_key: str | None = None,
        *,
        write_starts: bool | None = None,
    ) -> Self: ...

@final
class OTLPExporter(Exporter):
    def __new__(
        cls,
        endpoint: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: float | None = None,
        compression: Literal["gzip", "none"] | None = None,
        protocol: Literal["http/protobuf", "http/json"] | None = None,
        resource: dict[str, str] | None = None,
    ) -> Self: ...

@final
class TraceContext:
    def __new__(cls, trace_id: str, span_id: str) -> Self: ...
    @staticmethod
    def extract(headers: _Headers) -> TraceContext | None: ...
    @staticmethod
    def parse(traceparent: str, tracestate: str = "") -> TraceContext | None: ...
    @staticmethod
    def of(span: Span) -> TraceContext | None: ...
    @staticmethod
    def current() -> TraceContext | None: ...
    def inject(self, headers: _M) -> _M: ...
    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...
    @property
    def is_sampled(self) -> bool: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def tracestate(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...

@disjoint_base
class Tracer:
    def __new__(
        cls,
        exporters: list[Exporter] | None = None,
        *,
        batch_size: int | None = None,
        batch_bytes: int | None = None,
        linger_ms: int | None = None,
        max_queue_size: int | None = None,
        max_attempts: int | None = None,
        concurrency: int | None = None,
        start_delay_ms: int | None = None,
        every_start: bool = False,
        export_timeout_ms: int | None = None,
        max_age_s: int | None = None,
        queue_bytes: int | None = None,
        spool: bool | None = None,
        spool_dir: str | PathLike[str] | None = None,
        spool_bytes: int | None = None,
        shutdown_timeout: float | None = None,
        older_profile: bool = False,
        observe: tuple[Sequence[str], Callable[[], tuple[str, str] | None]] | None = None,
    ) -> Self: ...
    def trace(
        self, trace_id: str | None = None, *, task_id: str | None = None, group_id: str | None = None
    ) -> Trace: ...
    def continue_trace(
        self,
        caller: TraceContext | _Headers | None = None,
        *,
        task_id: str | None = None,
        group_id: str | None = None,
    ) -> Trace: ...
    def new_trace(self, *, task_id: str | None = None, group_id: str | None = None) -> Trace: ...
    def submit(
        self,
        *,
        id: str,
        trace_id: str,
        name: str,
        start_time: _Time,
        end_time: _Time | None = None,
        parent_id: str | None = None,
        input: Any = None,
        output: Any = None,
        data: Any = None,
        expected: Any = None,
        task_id: str | None = None,
        group_id: str | None = None,
        status: str | None = None,
        span_type: str | None = None,
    ) -> None: ...
    def submit_model(self, span: Any, ended: bool) -> None: ...
    @property
    def enabled(self) -> bool: ...
    def _flush(self, timeout: float = 30.0) -> dict[str, Any]: ...
    def _shutdown(self, timeout: float | None = None) -> dict[str, Any]: ...
    def _shutdown_at_exit(self, timeout: float) -> dict[str, Any]: ...
    def _stats(self) -> dict[str, Any]: ...
    def _watch_activity(self, wanted: bool) -> None: ...
    def _take_activity(self) -> dict[str, Any]: ...

@final
class Trace:
    @property
    def id(self) -> str: ...
    @property
    def is_noop(self) -> bool: ...
    @property
    def tracer(self) -> Tracer: ...
    def span(
        self,
        name: str,
        *,
        input: Any = None,
        output: Any = None,
        data: Any = None,
        parent: Span | str | None = None,
        task_id: str | None = None,
        span_type: str | None = None,
        expected: Any = None,
        id: str | None = None,
        start_time: _Time | None = None,
        root: bool = False,
    ) -> Span: ...

@final
class Span:
    name: str
    input: Any
    output: Any
    data: Any
    expected: Any
    task_id: str | None
    status: str | None
    span_type: str | None
    @property
    def id(self) -> str: ...
    @property
    def trace_id(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...
    @property
    def trace(self) -> Trace: ...
    @property
    def is_noop(self) -> bool: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def start_time(self) -> datetime | None: ...
    @property
    def end_time(self) -> datetime | None: ...
    @end_time.setter
    def end_time(self, value: _Time | None) -> None: ...
    def start(self) -> Span: ...
    def end(self, end_time: _Time | None = None) -> None: ...
    def span(self, name: str, **keywords: Any) -> Span: ...
    def put_data(self, key: str, value: Any) -> None: ...
    def record_error(self, error: BaseException | str, message: str | None = None) -> None: ...
    def record_usage(self, usage: Any = None, cost_usd: float | None = None) -> None: ...
    def __enter__(self) -> Span: ...
    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool: ...
    async def __aenter__(self) -> Span: ...
    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None: ...
    def __call__(self, function: _F) -> _F: ...
    def _again(self) -> Span: ...

@final
class Models:
    def __new__(cls, _class: type) -> Self: ...
    def make(
        self,
        *,
        id: Any,
        name: Any,
        start_time: Any,
        trace_id: Any,
        data: Any = None,
        end_time: Any = None,
        input: Any = None,
        output: Any = None,
        parent_id: Any = None,
        task_id: Any = None,
        **extra: Any,
    ) -> Any: ...
    def start(self, trace_id: Any, name: Any, parent_id: Any, input: Any, data: Any, task_id: Any) -> Any: ...
    def end(self, span: Any) -> None: ...

def encode_json(value: Any, /) -> tuple[bytes, int]: ...
def normalise(value: Any) -> Any: ...
def new_id() -> str: ...
def current_span() -> Span | None: ...
def set_current(span: Span | None) -> Any: ...
def forked() -> None: ...
def end_open_spans(objects: Any) -> int: ...
def interpreter_ends() -> None: ...
