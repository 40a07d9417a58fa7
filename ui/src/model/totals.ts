import { KINDS, type Kind } from "./kinds";
import { childrenOf, endOf, type Tree } from "./tree";

export interface KindTotal {
  kind: Kind;
  spans: number;
  errors: number;
  /** Microseconds in which a span of this kind ran and none of its children did. */
  selfMicros: number;
  /** Microseconds of the critical path that fall to this kind. */
  pathMicros: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  /** NaN while no span of this kind has a cost. */
  costUsd: number;
}

export interface Totals {
  kinds: KindTotal[];
  spans: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  costUsd: number;
  /** Rows whose usage is counted: those with usage and none below them that has any. */
  counted: number;
  /** Rows that also carry usage but sum up others; shown, compared, never added. */
  rollups: number[];
  pathMicros: number;
}

export function hasUsage(row: { inputTokens: number; outputTokens: number; costUsd: number }): boolean {
  return row.inputTokens >= 0 || row.outputTokens >= 0 || row.costUsd >= 0;
}

/**
 * Sums a trace up by kind. Tokens and cost come from the lowest rows that carry them, so that a parent which
 * repeats its children's usage is never counted twice.
 */
export function sumUp(tree: Tree, pathSelf: Float64Array, now: number): Totals {
  const { rows, order, parent } = tree;
  const below = new Uint8Array(rows.length);
  const byKind = new Map<Kind, KindTotal>();
  for (const kind of KINDS) {
    byKind.set(kind, {
      kind,
      spans: 0,
      errors: 0,
      selfMicros: 0,
      pathMicros: 0,
      inputTokens: 0,
      outputTokens: 0,
      cachedTokens: 0,
      costUsd: Number.NaN,
    });
  }
  const totals: Totals = {
    kinds: [],
    spans: tree.spanCount,
    inputTokens: 0,
    outputTokens: 0,
    cachedTokens: 0,
    costUsd: Number.NaN,
    counted: 0,
    rollups: [],
    pathMicros: 0,
  };
  for (let k = order.length - 1; k >= 0; k--) {
    const i = order[k]!;
    const row = rows[i]!;
    const used = hasUsage(row);
    if ((used || below[i]) && parent[i] !== -1) below[parent[i]!] = 1;
    if (row.missing) continue;
    const total = byKind.get(row.kind)!;
    total.spans++;
    if (row.status === "ERROR") total.errors++;
    total.selfMicros += selfTime(tree, i, now);
    total.pathMicros += pathSelf[i]!;
    totals.pathMicros += pathSelf[i]!;
    if (!used) continue;
    if (below[i]) {
      totals.rollups.push(i);
      continue;
    }
    totals.counted++;
    for (const sum of [total, totals]) {
      sum.inputTokens += row.inputTokens || 0;
      sum.outputTokens += row.outputTokens || 0;
      sum.cachedTokens += row.cachedTokens || 0;
      if (row.costUsd >= 0) sum.costUsd = (sum.costUsd || 0) + row.costUsd;
    }
  }
  totals.kinds = KINDS.map((kind) => byKind.get(kind)!).filter((total) => total.spans > 0);
  return totals;
}

/** Microseconds in which the row ran and none of its children did. */
export function selfTime(tree: Tree, i: number, now: number): number {
  const row = tree.rows[i]!;
  const end = endOf(row, now);
  let covered = 0;
  let reach = row.start;
  const kids = childrenOf(tree, i);
  for (let k = 0; k < kids.length; k++) {
    const child = tree.rows[kids[k]!]!;
    const from = Math.max(child.start, reach);
    const to = Math.min(endOf(child, now), end);
    if (to > from) {
      covered += to - from;
      reach = to;
    }
  }
  return Math.max(0, end - row.start - covered);
}
