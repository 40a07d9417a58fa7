import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { capabilities } from "../api/capabilities";
import { listTraces, type TraceFilter } from "../api/client";
import { account } from "../api/session";
import { follow, type Liveness } from "../api/tail";
import { useTitle } from "../app";
import { announce, copyText } from "../components/announce";
import { Icon } from "../components/icon";
import { useKeys } from "../components/keys";
import { memo } from "../components/memo";
import { Moment, useNow } from "../components/moment";
import { useNarrow, useRows } from "../components/virtual";
import {
  exactDuration,
  formatCost,
  formatCount,
  formatDuration,
  formatShort,
  plural,
  shortId,
} from "../model/format";
import { isRunning, type TraceSummary } from "../model/span";
import { navigate, place, setQuery, traceHref } from "../router";

const PAGE = 100;
/** A change on the server shows within this time, however many there are. */
const REFRESH_MS = 250;

const PERIODS: [string, string, number][] = [
  ["15m", "Last 15 minutes", 900],
  ["1h", "Last hour", 3600],
  ["24h", "Last 24 hours", 86_400],
  ["7d", "Last 7 days", 604_800],
  ["30d", "Last 30 days", 2_592_000],
];

function filterOf(search: URLSearchParams): TraceFilter {
  const period = PERIODS.find(([value]) => value === search.get("period"));
  const status = search.get("status");
  const count = (name: string) => {
    const value = Number(search.get(name));
    return value > 0 ? value : undefined;
  };
  return {
    text: search.get("q") ?? undefined,
    name: search.get("name") ?? undefined,
    agent: search.get("agent") ?? undefined,
    status:
      status === "ok" || status === "error" || status === "running" || status === "canceled"
        ? status
        : undefined,
    since: period ? new Date(Date.now() - period[2] * 1000).toISOString() : undefined,
    minDurationMs: count("min_ms"),
    minTokens: count("min_tokens"),
  };
}

export function keyOf(trace: TraceSummary): string {
  return `${trace.account}\n${trace.traceId}`;
}

/** The list of the page: its traces, what is on its way, and how it is kept fresh. */
function useTraces(search: string) {
  const [traces, setTraces] = useState<TraceSummary[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [state, setState] = useState<"loading" | "ready" | "failed">("loading");
  const [error, setError] = useState("");
  const [live, setLive] = useState<Liveness>("connecting");
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  const current = useRef<TraceSummary[]>([]);
  current.current = traces;
  const filter = useMemo(() => filterOf(new URLSearchParams(search)), [search]);

  useEffect(() => {
    const abort = new AbortController();
    setState("loading");
    listTraces(filter, null, PAGE, abort.signal)
      .then((page) => {
        setTraces(page.traces);
        setNext(page.next);
        setFresh(new Set());
        setState("ready");
        announce(page.traces.length === 0 ? "No traces" : `${page.traces.length} traces loaded`);
      })
      .catch((failure: Error) => {
        if (abort.signal.aborted) return;
        setError(failure.message);
        setState("failed");
      });

    // Live: any write may change a summary, so the first page is read again, at a bounded rate.
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let again = false;
    const refresh = async () => {
      timer = undefined;
      if (busy) {
        again = true;
        return;
      }
      busy = true;
      try {
        const page = await listTraces(filterOf(new URLSearchParams(search)), null, PAGE, abort.signal);
        const known = new Set(current.current.map(keyOf));
        const arrived = page.traces.map(keyOf);
        setFresh(new Set(arrived.filter((key) => !known.has(key))));
        const onPage = new Set(arrived);
        setTraces((old) => {
          if (page.next === null) return page.traces;
          const last = page.traces[page.traces.length - 1]!;
          return [
            ...page.traces,
            ...old.filter((trace) => !onPage.has(keyOf(trace)) && trace.start <= last.start),
          ];
        });
        if (current.current.length <= PAGE) setNext(page.next);
      } catch {
        // The stream's state says that the server is away.
      }
      busy = false;
      if (again) {
        again = false;
        schedule();
      }
    };
    const schedule = () => {
      timer ??= setTimeout(refresh, REFRESH_MS);
    };
    const tail = follow({ onEvent: schedule });
    const unsubscribe = tail.state.subscribe((value) => {
      setLive(value);
      if (value === "live" && current.current.length > 0) schedule();
    });
    return () => {
      abort.abort();
      clearTimeout(timer);
      unsubscribe();
      tail.stop();
    };
  }, [search, filter, account.value]);

  const loading = useRef(false);
  const more = useCallback(() => {
    if (next === null || loading.current) return;
    loading.current = true;
    listTraces(filter, next, PAGE)
      .then((page) => {
        setTraces((old) => {
          const known = new Set(old.map(keyOf));
          return [...old, ...page.traces.filter((trace) => !known.has(keyOf(trace)))];
        });
        setNext(page.next);
      })
      .catch((failure: Error) => setError(failure.message))
      .finally(() => {
        loading.current = false;
      });
  }, [next, filter]);

  return { traces, next, state, error, live, fresh, more };
}

export function Traces() {
  useTitle("Traces");
  const search = place.value.search;
  const { traces, next, state, error, live, fresh, more } = useTraces(search.toString());
  const filtered = ["q", "name", "agent", "status", "period", "min_ms", "min_tokens"].some((name) =>
    search.has(name),
  );
  const empty = state === "ready" && traces.length === 0;
  return (
    <div class="traces">
      <Filters live={live} traces={traces} />
      {state === "failed" ? (
        <div class="empty" role="alert">
          <h1>The traces could not be read</h1>
          <p class="soft">{error}</p>
        </div>
      ) : empty && !filtered ? (
        <FirstSteps />
      ) : empty ? (
        <div class="empty">
          <h1>No trace matches</h1>
          <p class="soft">Take a filter away, or search for less.</p>
          <p>
            <a class="button" href="/">
              Clear the filters
            </a>
          </p>
        </div>
      ) : (
        <Table traces={traces} next={next} fresh={fresh} more={more} loading={state === "loading"} />
      )}
    </div>
  );
}

function Filters(props: { live: Liveness; traces: TraceSummary[] }) {
  const search = place.value.search;
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(search.get("q") ?? "");
  const [payloads, setPayloads] = useState(false);
  const what = payloads ? "Search names and payloads" : "Search names";
  useEffect(() => {
    capabilities().then(
      (offered) => setPayloads(offered.searchTraces),
      () => {},
    );
  }, []);
  const extra = ["name", "agent", "min_ms", "min_tokens"].some((name) => search.has(name));
  const [open, setOpen] = useState(extra);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const fromUrl = search.get("q") ?? "";
  useEffect(() => setText(fromUrl), [fromUrl]);
  useKeys({
    "/": () => input.current?.focus(),
    Escape: () => {
      if (document.activeElement === input.current) input.current?.blur();
      else if (search.toString() !== "") navigate("/");
    },
  });
  const type = (value: string) => {
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ q: value }), 200);
  };
  const agents = useMemo(
    () =>
      [
        ...new Set(
          props.traces.map((trace) => trace.agent).filter((agent): agent is string => agent !== null),
        ),
      ].sort(),
    [props.traces],
  );
  const status = search.get("status") ?? "";
  return (
    <div class="filters" role="search">
      <h1>Traces</h1>
      <div class="search">
        <Icon name="search" />
        <input
          ref={input}
          class="field"
          type="search"
          placeholder={what}
          aria-label={what}
          value={text}
          onInput={(event) => type(event.currentTarget.value)}
        />
        <kbd aria-hidden="true">/</kbd>
      </div>
      <fieldset class="segments" aria-label="Status">
        {[
          ["", "All"],
          ["running", "Running"],
          ["error", "Errors"],
          ["ok", "OK"],
        ].map(([value, label]) => (
          <button
            key={value}
            type="button"
            aria-pressed={status === value}
            onClick={() => setQuery({ status: value! }, "push")}
          >
            {label}
          </button>
        ))}
      </fieldset>
      <select
        class="select"
        aria-label="Started"
        value={search.get("period") ?? ""}
        onChange={(event) => setQuery({ period: event.currentTarget.value }, "push")}
      >
        <option value="">Any time</option>
        {PERIODS.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
      <button
        type="button"
        class="button"
        aria-label="More filters"
        aria-expanded={open}
        aria-controls="more-filters"
        onClick={() => setOpen(!open)}
      >
        <Icon name="filter" />
        <span class="wide">More</span>
      </button>
      <span class="grow" />
      <LiveState live={props.live} />
      {open && (
        <div class="filter-more" id="more-filters">
          <TextFilter name="name" label="Name" placeholder="part of the name" />
          <TextFilter name="agent" label="Agent" placeholder="exact" options={agents} />
          <TextFilter name="min_ms" label="Longer than" placeholder="ms" numeric />
          <TextFilter name="min_tokens" label="More tokens than" placeholder="tokens" numeric />
        </div>
      )}
    </div>
  );
}

function TextFilter(props: {
  name: string;
  label: string;
  placeholder: string;
  numeric?: boolean;
  options?: string[];
}) {
  const value = place.value.search.get(props.name) ?? "";
  return (
    <label>
      {props.label}
      <input
        class="field"
        value={value}
        placeholder={props.placeholder}
        inputMode={props.numeric ? "numeric" : undefined}
        list={props.options ? `${props.name}-options` : undefined}
        onChange={(event) => {
          const text = event.currentTarget.value.trim();
          setQuery({ [props.name]: props.numeric && !(Number(text) > 0) ? "" : text }, "push");
        }}
      />
      {props.options && (
        <datalist id={`${props.name}-options`}>
          {props.options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
    </label>
  );
}

export function LiveState(props: { live: Liveness }) {
  const words = { connecting: "Connecting", live: "Live", offline: "Server away, trying again" }[props.live];
  return (
    <span class={`live-state ${props.live}`} title={words} role="status" aria-label={words}>
      <i />
      <span>{words}</span>
    </span>
  );
}

function Table(props: {
  traces: TraceSummary[];
  next: string | null;
  fresh: ReadonlySet<string>;
  more: () => void;
  loading: boolean;
}) {
  const { traces } = props;
  const narrow = useNarrow();
  const rowHeight = narrow ? 56 : 36;
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useRows(scroller, traces.length + (props.next ? 1 : 0), rowHeight, narrow ? 0 : 32);
  const [cursor, setCursor] = useState<string | null>(null);
  const [picked, setPicked] = useState<TraceSummary[]>([]);
  const running = traces.some(isRunning);
  const now = useNow(1000, running);
  const at = cursor === null ? -1 : traces.findIndex((trace) => keyOf(trace) === cursor);

  useEffect(() => {
    if (props.next && rows.last >= traces.length - 20) props.more();
  });

  // A reader who has scrolled away keeps the rows under their eyes; what is new is offered, not pushed in.
  const top = traces[0] ? keyOf(traces[0]) : "";
  const seenTop = useRef(top);
  const [missed, setMissed] = useState(0);
  useEffect(() => {
    const element = scroller.current;
    if (element && element.scrollTop > rowHeight && seenTop.current !== "" && seenTop.current !== top) {
      const shift = traces.findIndex((trace) => keyOf(trace) === seenTop.current);
      if (shift > 0) {
        element.scrollTop += shift * rowHeight;
        setMissed((count) => count + shift);
      }
    }
    seenTop.current = top;
  }, [top, traces, rowHeight]);
  const atTop = rows.first === 0 && (scroller.current?.scrollTop ?? 0) < rowHeight;
  useEffect(() => {
    if (atTop) setMissed(0);
  }, [atTop]);

  const move = (to: number) => {
    const index = Math.max(0, Math.min(traces.length - 1, to));
    if (!traces[index]) return;
    setCursor(keyOf(traces[index]!));
    rows.scrollTo(index);
    scroller.current?.focus({ preventScroll: true });
  };
  const pick = (trace: TraceSummary) => {
    setPicked((old) =>
      old.some((other) => keyOf(other) === keyOf(trace))
        ? old.filter((other) => keyOf(other) !== keyOf(trace))
        : [...old.slice(-1), trace],
    );
  };
  useKeys({
    ArrowDown: () => move(at + 1),
    j: () => move(at + 1),
    ArrowUp: () => move(at - 1),
    k: () => move(at - 1),
    PageDown: () => move(at + rows.page),
    PageUp: () => move(at - rows.page),
    Home: () => move(0),
    End: () => move(traces.length - 1),
    Enter: () => {
      if (at >= 0) navigate(hrefOf(traces[at]!));
    },
    x: () => {
      if (at >= 0) pick(traces[at]!);
    },
  });

  const items = [];
  for (let i = rows.first; i < Math.min(rows.last, traces.length); i++) {
    const trace = traces[i]!;
    const key = keyOf(trace);
    items.push(
      <Line
        key={key}
        trace={trace}
        index={i}
        top={rows.top(i)}
        at={key === cursor}
        fresh={props.fresh.has(key)}
        picked={picked.some((other) => keyOf(other) === key)}
        now={isRunning(trace) ? now : 0}
        onPick={pick}
      />,
    );
  }
  // A column that no trace fills is not drawn.
  const has = {
    agent: traces.some((trace) => trace.agent !== null),
    tokens: traces.some((trace) => trace.inputTokens + trace.outputTokens > 0),
    cost: traces.some((trace) => trace.costUsd > 0),
  };
  const missing = Object.entries(has).map(([name, there]) => (there ? "" : ` no-${name}`));
  const columns = [
    "26px minmax(140px, 3fr)",
    has.agent && "minmax(90px, 1.4fr)",
    "minmax(110px, 1fr) 64px",
    has.tokens && "92px",
    has.cost && "84px",
    "124px",
  ];
  return (
    <div class={`trace-table${missing.join("")}`} style={{ "--columns": columns.filter(Boolean).join(" ") }}>
      <div
        ref={scroller}
        class="trace-scroll"
        role="grid"
        tabIndex={0}
        aria-label="Traces, newest first"
        aria-rowcount={props.next ? -1 : traces.length + 1}
        aria-activedescendant={at >= rows.first && at < rows.last ? `trace-${at}` : undefined}
        aria-busy={props.loading}
      >
        <div class="trace-row trace-head" role="row">
          <span role="columnheader">
            <span class="sr">State</span>
          </span>
          <span role="columnheader">Name</span>
          <span role="columnheader" class="cell-agent">
            Agent
          </span>
          <span role="columnheader" class="num">
            Duration
          </span>
          <span role="columnheader" class="num">
            Spans
          </span>
          <span role="columnheader" class="num cell-tokens">
            Tokens
          </span>
          <span role="columnheader" class="num cell-cost">
            Cost
          </span>
          <span role="columnheader" class="num">
            Started
          </span>
        </div>
        <div class="trace-space" role="presentation" style={{ height: `${rows.height}px` }}>
          {items}
          {props.next && (
            <div
              class="trace-foot"
              role="presentation"
              style={{ transform: `translateY(${rows.top(traces.length)}px)` }}
            >
              Reading older traces
            </div>
          )}
        </div>
      </div>
      {missed > 0 && !atTop && (
        <button
          type="button"
          class="button primary new-pill"
          onClick={() => {
            scroller.current!.scrollTop = 0;
            setMissed(0);
          }}
        >
          <Icon name="up" />
          {plural(missed, "new trace")}
        </button>
      )}
      {picked.length > 0 && (
        <div class="compare-bar" role="region" aria-label="Comparison">
          <span class="ellipsis">
            {picked.map((trace) => trace.name).join(" and ")}
            {picked.length === 1 && <span class="muted"> and one more</span>}
          </span>
          {picked.length === 2 && (
            <a
              class="button primary"
              href={`/compare?a=${encodeURIComponent(picked[0]!.traceId)}&b=${encodeURIComponent(picked[1]!.traceId)}`}
            >
              Compare
            </a>
          )}
          <button
            type="button"
            class="icon-button"
            aria-label="Clear the comparison"
            onClick={() => setPicked([])}
          >
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}

function hrefOf(trace: TraceSummary): string {
  return traceHref(trace.traceId, { account: trace.account === "default" ? null : trace.account });
}

const Line = memo(function Line(props: {
  trace: TraceSummary;
  index: number;
  top: number;
  at: boolean;
  fresh: boolean;
  picked: boolean;
  now: number;
  onPick: (trace: TraceSummary) => void;
}) {
  const { trace } = props;
  const running = isRunning(trace);
  const end = running ? Math.max(props.now * 1000, trace.end || 0) : trace.end;
  const took = end - trace.start;
  const tokens = (trace.inputTokens || 0) + (trace.outputTokens || 0);
  return (
    <div
      id={`trace-${props.index}`}
      class={`trace-row trace-line${props.at ? " at" : ""}${props.fresh ? " fresh" : ""}`}
      role="row"
      aria-rowindex={props.index + 2}
      aria-selected={props.at}
      style={{ top: `${props.top}px` }}
      onClick={(event) => {
        if (event.defaultPrevented || (event.target as Element).closest("a, button")) return;
        if (event.metaKey || event.ctrlKey) props.onPick(trace);
        else navigate(hrefOf(trace));
      }}
    >
      <State trace={trace} />
      <span class="cell-name trace-name" role="gridcell">
        <a class="ellipsis" href={hrefOf(trace)} tabIndex={-1}>
          {trace.name || "(no name)"}
        </a>
        <span class="mono ellipsis" title={trace.traceId}>
          {shortId(trace.traceId)}
        </span>
        {trace.account !== "default" && <span class="badge">{trace.account}</span>}
        {trace.errorCount > 0 && (
          <span class="badge error" title={plural(trace.errorCount, "failed span")}>
            <Icon name="error" />
            {formatShort(trace.errorCount)}
          </span>
        )}
        {props.picked && <span class="badge running">picked</span>}
      </span>
      <span class="cell-agent ellipsis soft" role="gridcell">
        {trace.agent ?? "–"}
      </span>
      <span class="cell-took num" role="gridcell" title={running ? "still running" : exactDuration(took)}>
        {running ? (
          <span class="badge running">{formatDuration(Math.max(0, took))}</span>
        ) : (
          formatDuration(took)
        )}
      </span>
      <span class="cell-spans num soft" role="gridcell">
        {formatCount(trace.spanCount)}
        <span class="sr"> spans</span>
      </span>
      <span
        class="cell-tokens num soft"
        role="gridcell"
        title={`${formatCount(trace.inputTokens)} in, ${formatCount(trace.outputTokens)} out`}
      >
        {tokens > 0 ? formatShort(tokens) : "–"}
      </span>
      <span class="cell-cost num soft" role="gridcell">
        {trace.costUsd > 0 ? formatCost(trace.costUsd) : "–"}
      </span>
      <span class="cell-started num muted" role="gridcell">
        <Moment at={trace.start} />
      </span>
    </div>
  );
});

function State(props: { trace: TraceSummary }) {
  const { trace } = props;
  const [name, label] = isRunning(trace)
    ? ["running", "running"]
    : trace.status === "ERROR"
      ? ["error", "failed"]
      : trace.status === "CANCELED"
        ? ["canceled", "cancelled"]
        : trace.errorCount > 0
          ? ["ok", "finished, with failed spans"]
          : ["ok", "finished"];
  return (
    <span class={`state ${name}`} role="gridcell" title={label}>
      {name === "running" ? <span class="pulse" /> : <Icon name={name} />}
      <span class="sr">{label}</span>
    </span>
  );
}

function FirstSteps() {
  const server = location.origin;
  const python = `import endspan\ntracer = endspan.Tracer(exporters=[endspan.AgentexExporter("${server}")])\nwith tracer.trace("first").span("hello", input={"who": "world"}) as span: span.output = {"said": "hi"}`;
  const curl = `curl ${server}/spans -H 'content-type: application/json' -d '{\n  "trace_id": "first", "name": "hello", "start_time": "${new Date().toISOString()}",\n  "end_time": "${new Date(Date.now() + 120).toISOString()}", "input": {"who": "world"}}'`;
  return (
    <div class="empty">
      <h1>No traces yet</h1>
      <p class="soft">This page shows the first span the moment it arrives. Send one:</p>
      <h2>With curl</h2>
      <Snippet text={curl} />
      <h2>From Python</h2>
      <Snippet text={python} />
      <h2>From any OpenTelemetry exporter</h2>
      <Snippet text={`OTEL_EXPORTER_OTLP_ENDPOINT=${server}\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`} />
      <p class="soft">
        Or look at a whole agent run first: <code>endspan demo</code> starts a server with agents that write
        to it.
      </p>
    </div>
  );
}

function Snippet(props: { text: string }) {
  return (
    <pre class="snippet" tabIndex={0}>
      <button
        type="button"
        class="icon-button"
        aria-label="Copy"
        onClick={() => copyText(props.text, "Lines")}
      >
        <Icon name="copy" />
      </button>
      {props.text}
    </pre>
  );
}
