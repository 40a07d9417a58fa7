import { useComputed } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { searchTrace, termsOf } from "../../api/client";
import { useTitle } from "../../app";
import { announce, copyText } from "../../components/announce";
import { Icon } from "../../components/icon";
import { useKeys } from "../../components/keys";
import { later, useLater } from "../../components/later";
import { useNow } from "../../components/moment";
import { Splitter } from "../../components/splitter";
import { useNarrow } from "../../components/virtual";
import { type CriticalPath, criticalPath, type Stretch } from "../../model/critical-path";
import { plural, shortId } from "../../model/format";
import { ALL_OPEN, layOut, reveal } from "../../model/rows";
import { findRows, isEmptyQuery, parseTraceQuery } from "../../model/search";
import { sumUp, type Totals } from "../../model/totals";
import { endOf, type Tree } from "../../model/tree";
import { place } from "../../router";
import { panelShare } from "../../settings";
import { Header } from "./header";
import { LedgerDialog, useLedger } from "./ledger";
import { useTrace } from "./load";
import { Minimap } from "./minimap";
import { TotalsBar } from "./totals";
import { type TreeHandle, TreeView } from "./tree-view";
import { createView, type View } from "./view";

/** Without news for this long (and for three times as long as the trace took), running spans stop growing. */
const STALE_MICROS = 600e6;
/** Traces with more spans than this begin with a timeline that follows the lines in view. */
const FIT_FROM = 1000;
const NO_HITS: ReadonlySet<string> = new Set();

const panelCode = later(() => import("../span").then((module) => module.SpanPanel));

export default function TracePage(props: { traceId: string }) {
  const account = place.value.search.get("account");
  const { tree, error, live } = useTrace(props.traceId, account);
  const root = tree ? rootOf(tree) : -1;
  useTitle(tree && root >= 0 ? tree.rows[root]!.name : "Trace");
  if (error !== null && !tree) {
    return (
      <div class="empty" role="alert">
        <h1>This trace could not be read</h1>
        <p class="soft">{error}</p>
        <p>
          <a class="button" href="/">
            All traces
          </a>
        </p>
      </div>
    );
  }
  if (!tree) return <div class="trace-loading" role="status" aria-label="Reading the trace" />;
  return <TraceView tree={tree} live={live} root={root} />;
}

function rootOf(tree: Tree): number {
  const roots = tree.children.subarray(
    tree.childStart[tree.rows.length]!,
    tree.childStart[tree.rows.length + 1]!,
  );
  for (const i of roots) if (!tree.rows[i]!.missing) return i;
  return roots[0] ?? -1;
}

function useClock(tree: Tree) {
  const growing = tree.openCount > 0;
  const wall = useNow(200, growing) * 1000 - tree.base;
  const silence = wall - tree.to;
  const stale = growing && silence > Math.max(STALE_MICROS, 3 * (tree.to - tree.from));
  // A span that has been open for days would squeeze the rest to nothing: it is drawn a little past the news.
  const now = !growing ? tree.to : stale ? tree.to + (tree.to - tree.from) * 0.04 : Math.max(tree.to, wall);
  return { now, stale, growing };
}

/** With more spans than this, path and totals wait until the first picture is there. */
const AT_ONCE = 3000;

function figuresOf(tree: Tree, now: number): { path: CriticalPath; totals: Totals } {
  const path = criticalPath(tree, now);
  return { path, totals: sumUp(tree, path.self, now) };
}

/** Path and totals, worked out after the first picture when the trace is large. */
function useFigures(tree: Tree, now: number) {
  const coarse = tree.openCount > 0 ? Math.round(now / 500_000) : 0;
  const small = useMemo(() => (tree.spanCount <= AT_ONCE ? figuresOf(tree, now) : null), [tree, coarse]);
  const [large, setLarge] = useState<ReturnType<typeof figuresOf> | null>(null);
  useEffect(() => {
    if (tree.spanCount <= AT_ONCE) return;
    const timer = setTimeout(() => setLarge(figuresOf(tree, now)), 30);
    return () => clearTimeout(timer);
  }, [tree, coarse]);
  const figures = small ?? large;
  const stretches = useMemo(() => {
    const byRow = new Map<number, Stretch[]>();
    for (const stretch of figures?.path.stretches ?? []) {
      const list = byRow.get(stretch.row);
      if (list) list.push(stretch);
      else byRow.set(stretch.row, [stretch]);
    }
    return byRow;
  }, [figures]);
  return { totals: figures?.totals ?? null, stretches };
}

function usePayloadHits(tree: Tree, text: string): { hits: ReadonlySet<string>; busy: boolean } {
  const [found, setFound] = useState<{ text: string; hits: ReadonlySet<string> }>({
    text: "",
    hits: NO_HITS,
  });
  const wanted = termsOf(text).length > 0 ? text : "";
  useEffect(() => {
    if (wanted === "") {
      setFound({ text: "", hits: NO_HITS });
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      searchTrace(tree.traceId, tree.account || null, wanted, abort.signal)
        .then(({ ids }) => setFound({ text: wanted, hits: new Set(ids) }))
        .catch(() => {
          // Names are searched here anyway.
          if (!abort.signal.aborted) setFound({ text: wanted, hits: NO_HITS });
        });
    }, 250);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [wanted, tree.traceId, tree.account]);
  return { hits: found.text === wanted ? found.hits : NO_HITS, busy: wanted !== "" && found.text !== wanted };
}

function TraceView(props: { tree: Tree; live: ReturnType<typeof useTrace>["live"]; root: number }) {
  const { tree } = props;
  const [state] = useState(() => {
    const created = createView();
    created.view.value = { ...created.view.peek(), folding: openFirst(tree, created.view.peek().folding) };
    return created;
  });
  useEffect(() => state.follow(), [state]);
  const view = useComputed(() => state.view.value).value;
  const update = state.update;
  const { now, stale, growing } = useClock(tree);
  const { totals, stretches } = useFigures(tree, now);
  const [ledgerOpen, setLedgerOpen] = useState(false);
  const ledger = useLedger(tree, totals !== null && totals.counted > 0, ledgerOpen);
  const lines = useMemo(() => layOut(tree, view.folding), [tree, view.folding]);
  const query = useMemo(() => parseTraceQuery(view.query), [view.query]);
  const payload = usePayloadHits(tree, query.text);
  const hits = useMemo(() => findRows(tree, query, payload.hits), [tree, query, payload.hits]);
  const narrow = useNarrow(900);
  const handle = useRef<TreeHandle>(null);
  const input = useRef<HTMLInputElement>(null);

  const from = tree.from;
  const to = Math.max(now, tree.to, from + 1);
  // A day of work on one screen shows only hairs: large traces follow the lines in view.
  const fit = view.zoom === null && (view.fit ?? tree.spanCount > FIT_FROM);
  const selected = view.span === null ? -1 : (tree.index.get(view.span) ?? -1);

  // A deep link shows its span, whatever folds it.
  const shown = useRef<string | null>(null);
  const jump = useCallback(
    (row: number, open: boolean) => {
      const folding = reveal(tree, state.view.peek().folding, row);
      const id = tree.rows[row]!.id;
      update({ folding, ...(open ? { span: id } : {}) });
      shown.current = id;
      // The line exists once the new folding is laid out.
      requestAnimationFrame(() => requestAnimationFrame(() => handle.current?.show(id)));
    },
    [tree, state, update],
  );
  useEffect(() => {
    if (view.span === null || shown.current === view.span) return;
    const row = tree.index.get(view.span);
    if (row === undefined) return;
    shown.current = view.span;
    if (lines.lineOfRow[row]! < 0) jump(row, true);
    else handle.current?.show(view.span);
  }, [view.span, tree, lines, jump]);

  const select = useCallback(
    (id: string | null) => {
      shown.current = id;
      update({ span: id });
    },
    [update],
  );
  const go = useCallback(
    (id: string) => {
      const row = tree.index.get(id);
      if (row !== undefined) jump(row, true);
    },
    [tree, jump],
  );

  const errors = useMemo(() => {
    const list: number[] = [];
    for (const i of tree.order) if (tree.rows[i]!.status === "ERROR") list.push(i);
    return Int32Array.from(list);
  }, [tree]);
  const position = useMemo(() => {
    const at = new Int32Array(tree.rows.length);
    for (let k = 0; k < tree.order.length; k++) at[tree.order[k]!] = k;
    return at;
  }, [tree]);
  /** The next of some rows after (or before) where the reader is, around the end. */
  const step = (list: Int32Array, direction: 1 | -1, what: string) => {
    if (list.length === 0) {
      announce(`No ${what}`, true);
      return;
    }
    const row = handle.current?.row() ?? -1;
    const here = row >= 0 ? position[row]! : direction === 1 ? -1 : tree.order.length;
    let target: number;
    if (direction === 1) target = list.find((i) => position[i]! > here) ?? list[0]!;
    else target = list.findLast((i) => position[i]! < here) ?? list[list.length - 1]!;
    jump(target, view.span !== null);
    announce(`${what} ${list.indexOf(target) + 1} of ${list.length}: ${tree.rows[target]!.name}`);
  };

  const setFolding = (changes: Partial<View["folding"]>) =>
    update({ folding: { ...view.folding, ...changes } });
  const copyLink = () => {
    state.flush();
    void copyText(location.href, "Link");
  };
  useKeys({
    "/": () => input.current?.focus(),
    e: () => step(errors, 1, "Error"),
    E: () => step(errors, -1, "Error"),
    n: () => step(hits, 1, "Hit"),
    N: () => step(hits, -1, "Hit"),
    r: () => setFolding({ foldRepeats: !view.folding.foldRepeats, openGroups: new Set() }),
    p: () => update({ path: !view.path }),
    f: () => update({ fit: !fit, zoom: null }),
    "*": () => update({ folding: { ...ALL_OPEN, foldRepeats: view.folding.foldRepeats } }),
    "-": () => setFolding({ openDepth: 1, exceptions: new Set(), openGroups: new Set() }),
    c: copyLink,
    z: () => {
      if (view.zoom) return update({ zoom: null });
      const row = handle.current?.row() ?? -1;
      if (row < 0) return;
      const start = tree.rows[row]!.start;
      const end = endOf(tree.rows[row]!, now);
      const room = Math.max(1, (end - start) * 0.03);
      update({ zoom: [start - room, end + room] });
    },
    Escape: () => {
      if (document.activeElement === input.current) {
        if (view.query !== "") update({ query: "" });
        else input.current?.blur();
      } else if (view.span !== null) {
        select(null);
        handle.current?.focus();
      } else if (view.query !== "") update({ query: "" });
      else if (view.zoom) update({ zoom: null });
    },
  });

  const hitSet = useMemo(() => new Set(hits), [hits]);
  const SpanPanel = useLater(panelCode, selected >= 0);
  const panel =
    selected >= 0 &&
    (SpanPanel ? (
      <SpanPanel
        tree={tree}
        row={selected}
        tab={view.tab}
        now={now}
        onTab={(tab) => update({ tab })}
        onGo={go}
        onClose={() => {
          select(null);
          handle.current?.focus();
        }}
      />
    ) : (
      <section class="panel panel-loading" role="status" aria-label="Reading the span" />
    ));
  const unknown = view.span !== null && selected < 0;
  return (
    <div class="trace">
      <Header
        {...props}
        totals={totals}
        ledger={ledger}
        now={now}
        stale={stale}
        growing={growing}
        onCopy={copyLink}
        onLedger={() => setLedgerOpen(true)}
      />
      {ledgerOpen && (
        <LedgerDialog
          ledger={ledger}
          reportedUsd={totals?.costUsd ?? Number.NaN}
          onGo={(span) => {
            setLedgerOpen(false);
            go(span);
          }}
          onClose={() => setLedgerOpen(false)}
        />
      )}
      <div class="trace-tools" role="toolbar" aria-label="Trace">
        <div class="search">
          <Icon name="search" />
          <input
            ref={input}
            class="field"
            type="search"
            value={view.query}
            placeholder="Search this trace, kind:tool, is:error"
            aria-label="Search this trace"
            onInput={(event) => update({ query: event.currentTarget.value })}
            onKeyDown={(event) => {
              if (event.key !== "Enter") return;
              event.preventDefault();
              step(hits, event.shiftKey ? -1 : 1, "Hit");
            }}
          />
          <kbd aria-hidden="true">/</kbd>
        </div>
        {!isEmptyQuery(query) && (
          <span class="hits" role="status">
            {payload.busy ? "searching" : plural(hits.length, "hit")}
            <button
              type="button"
              class="icon-button"
              aria-label="Previous hit"
              onClick={() => step(hits, -1, "Hit")}
            >
              <Icon name="up" />
            </button>
            <button
              type="button"
              class="icon-button"
              aria-label="Next hit"
              onClick={() => step(hits, 1, "Hit")}
            >
              <Icon name="down" />
            </button>
          </span>
        )}
        {errors.length > 0 && (
          <button
            type="button"
            class="button danger"
            title="Next error (e)"
            onClick={() => step(errors, 1, "Error")}
          >
            <Icon name="error" />
            {plural(errors.length, "error")}
            <Icon name="down" />
          </button>
        )}
      </div>
      {totals && <TotalsBar totals={totals} query={view.query} onQuery={(text) => update({ query: text })} />}
      <div class="trace-body">
        <div
          class="trace-left"
          style={panel && !narrow ? { width: `${100 - panelShare.value}%` } : { width: "100%" }}
        >
          <TreeView
            handle={handle}
            tree={tree}
            lines={lines}
            folding={view.folding}
            from={view.zoom ? view.zoom[0] : from}
            to={view.zoom ? view.zoom[1] : to}
            fit={fit}
            now={now}
            stretches={view.path ? stretches : null}
            selected={view.span}
            hits={hits}
            hitSet={hitSet}
            onFolding={(folding) => update({ folding })}
            onSelect={select}
            follow={view.span !== null && !narrow}
            tools={
              <>
                <button
                  type="button"
                  class="button small"
                  aria-pressed={view.folding.foldRepeats}
                  title="Fold repeats (r)"
                  onClick={() =>
                    setFolding({ foldRepeats: !view.folding.foldRepeats, openGroups: new Set() })
                  }
                >
                  <Icon name="repeat" />
                  <span class="wide">Fold repeats</span>
                </button>
                <button
                  type="button"
                  class="button small"
                  aria-pressed={view.path}
                  title="Critical path (p)"
                  onClick={() => update({ path: !view.path })}
                >
                  <Icon name="path" />
                  <span class="wide">Critical path</span>
                </button>
                <button
                  type="button"
                  class="button small"
                  aria-pressed={fit}
                  title="The timeline follows the lines in view (f)"
                  onClick={() => update({ fit: !fit, zoom: null })}
                >
                  <Icon name="fit" />
                  <span class="wide">Follow</span>
                </button>
                <button
                  type="button"
                  class="icon-button"
                  aria-label="Unfold all"
                  title="Unfold all (*)"
                  onClick={() => update({ folding: { ...ALL_OPEN, foldRepeats: view.folding.foldRepeats } })}
                >
                  <Icon name="expand" />
                </button>
                <button
                  type="button"
                  class="icon-button"
                  aria-label="Fold all"
                  title="Fold all (-)"
                  onClick={() => setFolding({ openDepth: 1, exceptions: new Set(), openGroups: new Set() })}
                >
                  <Icon name="fold" />
                </button>
                {view.zoom && (
                  <button type="button" class="button small" onClick={() => update({ zoom: null })}>
                    Whole trace
                  </button>
                )}
              </>
            }
            map={(shown) => (
              <Minimap
                tree={tree}
                from={from}
                to={to}
                now={now}
                zoom={shown[0] > from || shown[1] < to ? shown : null}
                onZoom={(zoom) => update({ zoom, fit: zoom === null ? false : view.fit })}
              />
            )}
          />
        </div>
        {panel && !narrow && (
          <Splitter
            label="Width of the span panel"
            value={panelShare.value}
            min={25}
            max={75}
            reverse
            onChange={(value) => {
              panelShare.value = value;
            }}
          />
        )}
        {panel}
        {unknown && (
          <p class="notice warn unknown" role="status">
            <span class="grow">
              The span {shortId(view.span!)} is not in this trace{props.live.value === "live" ? " yet" : ""}.
            </span>
            <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => select(null)}>
              <Icon name="close" />
            </button>
          </p>
        )}
      </div>
    </div>
  );
}

/** With fewer lines than this, the largest folds are opened: a page of folds tells nothing. */
const FEW_LINES = 12;

function openFirst(tree: Tree, folding: View["folding"]): View["folding"] {
  let result = folding;
  if (folding.openGroups.size > 0 || folding.exceptions.size > 0 || Number.isFinite(folding.openDepth))
    return folding;
  for (let round = 0; round < 3; round++) {
    const lines = layOut(tree, result);
    if (lines.refs.length >= FEW_LINES) break;
    const closed = lines.groups
      .filter((group) => !group.open)
      .sort((a, b) => b.members.length - a.members.length);
    if (closed.length === 0) break;
    result = {
      ...result,
      openGroups: new Set([...result.openGroups, tree.rows[closed[0]!.members[0]!]!.id]),
    };
  }
  return result;
}
