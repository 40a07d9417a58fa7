import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../../components/icon";
import { moveKeys, useKeys } from "../../components/keys";
import { useNow } from "../../components/moment";
import { useNarrow, useRows } from "../../components/virtual";
import { plural } from "../../model/format";
import { isRunning, type TraceSummary } from "../../model/span";
import { navigate } from "../../router";
import { hrefOf, Line } from "./line";
import { keyOf } from "./load";

export function Table(props: {
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
    ...moveKeys(at, traces.length, rows.page, move),
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
