import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useLayoutEffect, useState } from "preact/hooks";
import { readStructure, toRow } from "../../api/client";
import { takeEarly } from "../../api/early";
import { follow, type Liveness } from "../../api/tail";
import type { SpanAnswer } from "../../api/wire";
import type { SpanRow, TraceStructure } from "../../model/span";
import { buildTree, type Tree } from "../../model/tree";

export interface Loaded {
  tree: Tree | null;
  error: string | null;
  live: ReadonlySignal<Liveness>;
}

/** A rebuilt tree is shown at most this often, and never for more than a fifth of the time. */
const REBUILD_MS = 60;

/** Reads a trace and keeps it up to date while it is open. */
export function useTrace(traceId: string, account: string | null): Loaded {
  const [tree, setTree] = useState<Tree | null>(null);
  const [error, setError] = useState<string | null>(null);
  const live = useSignal<Liveness>("connecting");

  // Before the first picture, not after it: the answer may already be here.
  useLayoutEffect(() => {
    const abort = new AbortController();
    let structure: TraceStructure | null = null;
    let places = new Map<string, number>();
    let tail: ReturnType<typeof follow> | null = null;
    let unsubscribe = () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    let cost = 0;
    setTree(null);
    setError(null);

    const build = () => {
      timer = undefined;
      if (!structure) return;
      const began = performance.now();
      setTree(buildTree(structure));
      cost = performance.now() - began;
    };
    const schedule = () => {
      timer ??= setTimeout(build, Math.max(REBUILD_MS, cost * 4));
    };
    const upsert = (row: SpanRow) => {
      if (!structure) return;
      const at = places.get(row.id);
      if (at === undefined) {
        places.set(row.id, structure.rows.length);
        structure.rows.push(row);
      } else {
        const old = structure.rows[at]!;
        // The live event may not carry what the structure knew.
        for (const field of ["inputTokens", "outputTokens", "cachedTokens", "costUsd"] as const) {
          if (Number.isNaN(row[field])) row[field] = old[field];
        }
        row.model ??= old.model;
        structure.rows[at] = row;
      }
      schedule();
    };
    const attach = (first: TraceStructure) => {
      structure = first;
      places = new Map(first.rows.map((row, i) => [row.id, i]));
      build();
      if (tail) return;
      tail = follow({
        traceId,
        account: first.account || account,
        after: first.position,
        onEvent: (event) => {
          if (event.type !== "span") return;
          let span: SpanAnswer;
          try {
            span = JSON.parse(event.data) as SpanAnswer;
          } catch {
            return;
          }
          if (
            span.trace_id === traceId &&
            (!first.account || !span.account || span.account === first.account)
          ) {
            upsert(toRow(span, first.base));
          }
        },
      });
      unsubscribe = tail.state.subscribe((value) => {
        live.value = value;
      });
    };
    const read = () => {
      const early = takeEarly<TraceStructure>(`${account ?? ""}\n${traceId}`);
      (early ?? readStructure(traceId, account, abort.signal)).then(
        (first) => {
          if (abort.signal.aborted) return;
          setError(null);
          attach(first);
        },
        (failure: Error) => {
          if (!abort.signal.aborted) setError(failure.message);
        },
      );
    };
    read();
    return () => {
      abort.abort();
      unsubscribe();
      tail?.stop();
      clearTimeout(timer);
    };
  }, [traceId, account]);
  return { tree, error, live };
}
