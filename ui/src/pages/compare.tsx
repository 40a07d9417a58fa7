import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { listTraces, readStructure } from "../api/client";
import { useTitle } from "../app";
import { Icon, KindIcon } from "../components/icon";
import { moveKeys, useKeys } from "../components/keys";
import { memo } from "../components/memo";
import { useNarrow, useRows } from "../components/virtual";
import { alignTrees, type Pair } from "../model/align";
import { criticalPath } from "../model/critical-path";
import {
  exactDuration,
  formatCost,
  formatCount,
  formatDuration,
  formatShort,
  plural,
  shortId,
} from "../model/format";
import type { SpanRow, TraceSummary } from "../model/span";
import { formatMoment } from "../model/time";
import { sumUp, type Totals } from "../model/totals";
import { buildTree, type Tree } from "../model/tree";
import { place, setQuery, traceHref } from "../router";

interface Side {
  tree: Tree;
  totals: Totals;
}

function useSide(traceId: string | null): { side: Side | null; error: string | null } {
  const [state, setState] = useState<{ id: string | null; side: Side | null; error: string | null }>({
    id: null,
    side: null,
    error: null,
  });
  useEffect(() => {
    if (traceId === null) return;
    const abort = new AbortController();
    readStructure(traceId, null, abort.signal).then(
      (structure) => {
        const tree = buildTree(structure);
        const totals = sumUp(tree, criticalPath(tree, tree.to).self, tree.to);
        setState({ id: traceId, side: { tree, totals }, error: null });
      },
      (failure: Error) => {
        if (!abort.signal.aborted) setState({ id: traceId, side: null, error: failure.message });
      },
    );
    return () => abort.abort();
  }, [traceId]);
  return state.id === traceId ? state : { side: null, error: null };
}

export default function Compare(_props: object) {
  useTitle("Compare");
  const { search } = place.value;
  const idA = search.get("a");
  const idB = search.get("b");
  const a = useSide(idA);
  const b = useSide(idB);
  const [recent, setRecent] = useState<TraceSummary[]>([]);
  useEffect(() => {
    const abort = new AbortController();
    listTraces({}, null, 200, abort.signal).then(
      (page) => setRecent(page.traces),
      () => {},
    );
    return () => abort.abort();
  }, []);
  return (
    <div class="compare-page">
      <header class="compare-head">
        <h1>Compare</h1>
        <Choice name="a" label="Trace A" value={idA} recent={recent} other={idB} />
        <button
          type="button"
          class="icon-button"
          aria-label="Swap the two traces"
          title="Swap"
          onClick={() => setQuery({ a: idB ?? "", b: idA ?? "" })}
        >
          <Icon name="compare" />
        </button>
        <Choice name="b" label="Trace B" value={idB} recent={recent} other={idA} />
      </header>
      {(a.error ?? b.error) !== null && (
        <p class="notice error" role="alert">
          {a.error ?? b.error}
        </p>
      )}
      {a.side && b.side ? (
        <Comparison a={a.side} b={b.side} />
      ) : (
        (idA === null || idB === null) && (
          <div class="empty">
            <h1>Choose two traces</h1>
            <p class="soft">
              Their spans are aligned by structure, so that what one run did and the other did not stands out,
              with what became slower or dearer. In the list of traces, <kbd>x</kbd> picks the trace under the
              cursor.
            </p>
          </div>
        )
      )}
    </div>
  );
}

function Choice(props: {
  name: string;
  label: string;
  value: string | null;
  recent: TraceSummary[];
  other: string | null;
}) {
  const known = props.recent.some((trace) => trace.traceId === props.value);
  const otherName = props.recent.find((trace) => trace.traceId === props.other)?.name;
  // Runs of the same agent are what one compares: they come first.
  const sorted = useMemo(
    () =>
      [...props.recent].sort(
        (x, y) => Number(y.name === otherName) - Number(x.name === otherName) || y.start - x.start,
      ),
    [props.recent, otherName],
  );
  return (
    <select
      class="select"
      aria-label={props.label}
      value={props.value ?? ""}
      onChange={(event) => setQuery({ [props.name]: event.currentTarget.value })}
    >
      <option value="">{props.label}</option>
      {props.value !== null && !known && <option value={props.value}>{shortId(props.value)}</option>}
      {sorted.map((trace) => (
        <option key={`${trace.account}\n${trace.traceId}`} value={trace.traceId}>
          {trace.name} · {formatMoment(trace.start)} · {formatDuration(trace.end - trace.start)} ·{" "}
          {plural(trace.spanCount, "span")}
        </option>
      ))}
    </select>
  );
}

function Comparison(props: { a: Side; b: Side }) {
  const { a, b } = props;
  const onlyDifferent = place.value.search.get("only") === "1";
  const narrow = useNarrow();
  const pairs = useMemo(() => alignTrees(a.tree, b.tree), [a, b]);
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => setClosed(new Set()), [pairs]);
  const lines = useMemo(() => {
    const list: number[] = [];
    for (let k = 0; k < pairs.length; ) {
      const pair = pairs[k]!;
      if (onlyDifferent && pair.different === 0) {
        k += pair.size;
        continue;
      }
      list.push(k);
      k += closed.has(k) ? pair.size : 1;
    }
    return list;
  }, [pairs, closed, onlyDifferent]);
  const rowHeight = narrow ? 48 : 28;
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useRows(scroller, lines.length, rowHeight);
  const [cursor, setCursor] = useState(-1);
  const at = lines.indexOf(cursor);
  const move = (to: number) => {
    const line = Math.max(0, Math.min(lines.length - 1, to));
    if (lines[line] === undefined) return;
    setCursor(lines[line]!);
    rows.scrollTo(line);
  };
  const toggle = (k: number) => {
    if (pairs[k]!.size < 2) return;
    const next = new Set(closed);
    if (next.has(k)) next.delete(k);
    else next.add(k);
    setClosed(next);
  };
  const jump = (direction: 1 | -1) => {
    for (let line = at + direction; line >= 0 && line < lines.length; line += direction) {
      if (pairs[lines[line]!]!.mark !== "same") return move(line);
    }
  };
  useKeys({
    ...moveKeys(at, lines.length, rows.page, move),
    n: () => jump(1),
    N: () => jump(-1),
    ArrowLeft: () => {
      if (at >= 0 && !closed.has(cursor)) toggle(cursor);
    },
    ArrowRight: () => {
      if (at >= 0 && closed.has(cursor)) toggle(cursor);
    },
  });
  const counts = { "only-a": 0, "only-b": 0, changed: 0, same: 0 };
  for (const pair of pairs) counts[pair.mark]++;
  const longest = Math.max(a.tree.to - a.tree.from, b.tree.to - b.tree.from);
  const items = [];
  for (let line = rows.first; line < rows.last; line++) {
    const k = lines[line]!;
    items.push(
      <PairLine
        key={line % rows.slots}
        line={line}
        k={k}
        pair={pairs[k]!}
        a={a.tree}
        b={b.tree}
        top={rows.top(line)}
        at={k === cursor}
        open={pairs[k]!.size > 1 ? !closed.has(k) : null}
        longest={longest}
        onToggle={toggle}
        onPick={setCursor}
      />,
    );
  }
  return (
    <>
      <div class="compare-sum">
        <Summary a={a} b={b} />
        <span class="grow" />
        <span class="badge error">{formatCount(counts["only-a"])} only in A</span>
        <span class="badge ok">{formatCount(counts["only-b"])} only in B</span>
        <span class="badge warn">{formatCount(counts.changed)} changed</span>
        <button
          type="button"
          class="icon-button"
          aria-label="Previous difference"
          title="Previous difference (N)"
          onClick={() => jump(-1)}
        >
          <Icon name="up" />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Next difference"
          title="Next difference (n)"
          onClick={() => jump(1)}
        >
          <Icon name="down" />
        </button>
        <button
          type="button"
          class="button small"
          aria-pressed={onlyDifferent}
          onClick={() => setQuery({ only: onlyDifferent ? "" : "1" })}
        >
          Only differences
        </button>
      </div>
      <div
        ref={scroller}
        class="compare-scroll"
        role="treegrid"
        tabIndex={0}
        aria-label="Aligned spans"
        aria-rowcount={lines.length}
        aria-activedescendant={at >= rows.first && at < rows.last ? `pair-${at}` : undefined}
      >
        <div class="tree-space" role="presentation" style={{ height: `${rows.height}px` }}>
          {items}
        </div>
        {lines.length === 0 && (
          <p class="panel-note">The two traces have the same structure, and took about as long.</p>
        )}
      </div>
    </>
  );
}

function Summary(props: { a: Side; b: Side }) {
  const { a, b } = props;
  const tokens = (side: Side) => side.totals.inputTokens + side.totals.outputTokens;
  const rows: [string, number, number, (value: number) => string][] = [
    ["Duration", a.tree.to - a.tree.from, b.tree.to - b.tree.from, formatDuration],
    ["Spans", a.tree.spanCount, b.tree.spanCount, formatCount],
    ["Failed", a.tree.errorCount, b.tree.errorCount, formatCount],
    ["Tokens", tokens(a), tokens(b), formatShort],
    ["Cost", a.totals.costUsd || 0, b.totals.costUsd || 0, formatCost],
  ];
  return (
    <dl class="compare-figures">
      {rows.map(([label, x, y, format]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>
            {format(x)} <span class="muted">→</span> {format(y)}
            {x > 0 && Math.abs(y - x) / x >= 0.01 && (
              <span class={y > x ? "error-text" : "ok-text"}>
                {" "}
                {y > x ? "+" : "−"}
                {Math.round((Math.abs(y - x) / x) * 100)}%
              </span>
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

const WORDS: Record<Pair["mark"], string> = {
  same: "the same",
  changed: "changed",
  "only-a": "only in A",
  "only-b": "only in B",
};

const PairLine = memo(function PairLine(props: {
  line: number;
  k: number;
  pair: Pair;
  a: Tree;
  b: Tree;
  top: number;
  at: boolean;
  open: boolean | null;
  longest: number;
  onToggle: (k: number) => void;
  onPick: (k: number) => void;
}) {
  const { pair } = props;
  const rowA = pair.a >= 0 ? props.a.rows[pair.a]! : null;
  const rowB = pair.b >= 0 ? props.b.rows[pair.b]! : null;
  return (
    <div
      id={`pair-${props.line}`}
      class={`pair ${pair.mark}${props.at ? " at" : ""}`}
      role="row"
      aria-level={pair.depth + 1}
      aria-rowindex={props.line + 1}
      aria-expanded={props.open ?? undefined}
      aria-selected={props.at}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={() => props.onPick(props.k)}
    >
      <Half row={rowA} side="A" trace={props.a} {...props} />
      <span class="pair-mark" role="gridcell" title={pair.differences.join(", ") || WORDS[pair.mark]}>
        {pair.mark === "only-a" ? "−" : pair.mark === "only-b" ? "+" : pair.mark === "changed" ? "≠" : ""}
        <span class="sr">{pair.differences.join(", ") || WORDS[pair.mark]}</span>
      </span>
      <Half row={rowB} side="B" trace={props.b} {...props} />
    </div>
  );
});

function Half(props: {
  row: SpanRow | null;
  side: "A" | "B";
  trace: Tree;
  pair: Pair;
  open: boolean | null;
  k: number;
  longest: number;
  onToggle: (k: number) => void;
}) {
  const { row, pair } = props;
  if (!row) {
    return (
      <div class="half none" role="gridcell">
        <span class="sr">not in {props.side}</span>
      </div>
    );
  }
  const took = row.end - row.start;
  const tokens = (row.inputTokens || 0) + (row.outputTokens || 0);
  return (
    <div class="half" role="gridcell" style={{ "--depth": Math.min(pair.depth, 20) * 14 }}>
      {props.open !== null && (props.side === "A" || pair.a < 0) ? (
        <button
          type="button"
          class={`toggle${props.open ? " open" : ""}`}
          tabIndex={-1}
          aria-label={props.open ? "Fold" : "Unfold"}
          onClick={(event) => {
            event.stopPropagation();
            props.onToggle(props.k);
          }}
        >
          <Icon name="chevron" />
        </button>
      ) : (
        <span class="toggle" />
      )}
      <KindIcon kind={row.kind} />
      <a
        class={`ellipsis${row.status === "ERROR" ? " error-text" : ""}`}
        tabIndex={-1}
        href={traceHref(props.trace.traceId, { span: row.missing ? null : row.id })}
      >
        {row.name}
      </a>
      {row.status === "ERROR" && (
        <span class="badge error" title={row.error ?? ""}>
          <Icon name="error" />
          <span class="sr">failed</span>
        </span>
      )}
      <span class="grow" />
      {tokens > 0 && (
        <span class={pair.differences.includes("tokens") ? "differs" : "muted"}>
          {formatShort(tokens)} tok
        </span>
      )}
      <span
        class={`half-took${pair.differences.some((d) => d === "slower" || d === "faster") ? " differs" : ""}`}
        title={exactDuration(took)}
      >
        {formatDuration(took)}
      </span>
      <i
        class={`half-bar fill-${row.kind}`}
        style={{ width: `${Math.min(100, (took / props.longest) * 100)}%` }}
      />
    </div>
  );
}
