import { KINDS, type Kind } from "./kinds";
import type { SpanRow, TraceStructure } from "./span";

/** What is odd about a span's place or times. Shown, never repaired in silence. */
export const ORPHAN = 1;
/** Its parent link closes a circle and is ignored. */
export const CYCLE = 2;
/** It starts before its parent: two clocks disagree. */
export const EARLY = 4;
/** It ends after its parent: detached work, or two clocks that disagree. */
export const OUTLIVES = 8;
/** It ends before it starts. */
export const BACKWARDS = 16;

/** Differences below this are rounding of producers' clocks, not a finding. In microseconds. */
const CLOCK_TOLERANCE = 1000;

/**
 * A trace with its tree resolved. Children are kept in one flat array, sorted by start: those of span `i`
 * are `children[childStart[i] .. childStart[i + 1]]`. The last slot, `rows.length`, holds the roots.
 */
export interface Tree {
  traceId: string;
  account: string;
  base: number;
  rows: SpanRow[];
  /** How many rows are real spans; the rest stand for missing parents. */
  spanCount: number;
  parent: Int32Array;
  childStart: Int32Array;
  children: Int32Array;
  depth: Uint16Array;
  flags: Uint8Array;
  /** Every row once, parents before children, siblings by start. */
  order: Int32Array;
  /** Rows of the subtree, the row itself included. */
  subtree: Int32Array;
  /** Spans with the status ERROR in the subtree, the row itself included. */
  subtreeErrors: Int32Array;
  index: Map<string, number>;
  /** Earliest start and latest known moment, in microseconds since `base`. */
  from: number;
  to: number;
  openCount: number;
  errorCount: number;
}

/** Resolves parents, orders siblings, and finds orphans, circles and clock skew. Never recurses: depth is free. */
export function buildTree(structure: Pick<TraceStructure, "traceId" | "account" | "base" | "rows">): Tree {
  const rows = structure.rows.slice();
  const spanCount = rows.length;
  const index = new Map<string, number>();
  for (let i = 0; i < spanCount; i++) index.set(rows[i]!.id, i);

  const missing = new Map<string, number>();
  const parents: number[] = new Array(spanCount);
  for (let i = 0; i < spanCount; i++) {
    const row = rows[i]!;
    if (row.parentId === null) {
      parents[i] = -1;
      continue;
    }
    const found = index.get(row.parentId);
    if (found !== undefined) {
      parents[i] = found;
      continue;
    }
    let stand = missing.get(row.parentId);
    if (stand === undefined) {
      stand = rows.length;
      missing.set(row.parentId, stand);
      rows.push(standIn(row.parentId));
    }
    parents[i] = stand;
  }
  const count = rows.length;
  const parent = new Int32Array(count).fill(-1);
  const flags = new Uint8Array(count);
  for (let i = 0; i < spanCount; i++) {
    parent[i] = parents[i]!;
    if (parents[i]! >= spanCount) {
      flags[i] = ORPHAN;
      widen(rows[parents[i]!]!, rows[i]!);
    }
  }
  breakCircles(rows, parent, flags);

  const { childStart, children } = listChildren(rows, parent);
  const { order, depth, subtree } = walk(count, parent, childStart, children);
  const tree: Tree = {
    traceId: structure.traceId,
    account: structure.account,
    base: structure.base,
    rows,
    spanCount,
    parent,
    childStart,
    children,
    depth,
    flags,
    order,
    subtree,
    subtreeErrors: new Int32Array(count),
    index,
    from: Number.POSITIVE_INFINITY,
    to: Number.NEGATIVE_INFINITY,
    openCount: 0,
    errorCount: 0,
  };
  for (const [id, row] of missing) index.set(id, row);
  measure(tree);
  return tree;
}

function standIn(id: string): SpanRow {
  return {
    id,
    parentId: null,
    name: "missing parent",
    type: null,
    kind: "other",
    status: null,
    start: Number.POSITIVE_INFINITY,
    end: Number.NEGATIVE_INFINITY,
    inputTokens: Number.NaN,
    outputTokens: Number.NaN,
    cachedTokens: Number.NaN,
    costUsd: Number.NaN,
    model: null,
    error: null,
    missing: true,
  };
}

function widen(stand: SpanRow, child: SpanRow): void {
  stand.start = Math.min(stand.start, child.start);
  stand.end = Math.max(stand.end, Number.isNaN(child.end) ? child.start : child.end);
}

/** Cuts each circle of parents at its earliest span, which becomes a root. */
function breakCircles(rows: SpanRow[], parent: Int32Array, flags: Uint8Array): void {
  const seen = new Int32Array(rows.length); // 0 new, n > 0 in walk n, -1 done
  for (let first = 0; first < rows.length; first++) {
    let at = first;
    while (at !== -1 && seen[at] === 0) {
      seen[at] = first + 1;
      at = parent[at]!;
    }
    if (at !== -1 && seen[at] === first + 1) {
      let earliest = at;
      for (let step = parent[at]!; step !== at; step = parent[step]!) {
        if (rows[step]!.start < rows[earliest]!.start) earliest = step;
      }
      parent[earliest] = -1;
      flags[earliest]! |= CYCLE;
    }
    for (let step = first; step !== -1 && seen[step] === first + 1; step = parent[step]!) seen[step] = -1;
  }
}

function listChildren(rows: SpanRow[], parent: Int32Array) {
  const count = rows.length;
  const childStart = new Int32Array(count + 2);
  const slot = (i: number) => (parent[i] === -1 ? count : parent[i]!);
  for (let i = 0; i < count; i++) childStart[slot(i) + 1]!++;
  for (let i = 0; i <= count; i++) childStart[i + 1]! += childStart[i]!;
  const fill = childStart.slice();
  const children = new Int32Array(count);
  for (let i = 0; i < count; i++) children[fill[slot(i)]!++] = i;
  for (let i = 0; i <= count; i++) {
    const a = childStart[i]!;
    const b = childStart[i + 1]!;
    let sorted = true;
    for (let k = a + 1; k < b && sorted; k++) sorted = !before(rows, children[k]!, children[k - 1]!);
    if (!sorted) children.subarray(a, b).sort((x, y) => (before(rows, x, y) ? -1 : 1));
  }
  return { childStart, children };
}

function before(rows: SpanRow[], x: number, y: number): boolean {
  const a = rows[x]!;
  const b = rows[y]!;
  return a.start !== b.start ? a.start < b.start : a.id < b.id;
}

function walk(count: number, parent: Int32Array, childStart: Int32Array, children: Int32Array) {
  const order = new Int32Array(count);
  const depth = new Uint16Array(count);
  const subtree = new Int32Array(count).fill(1);
  const stack: number[] = [];
  for (let k = childStart[count + 1]! - 1; k >= childStart[count]!; k--) stack.push(children[k]!);
  let at = 0;
  while (stack.length > 0) {
    const i = stack.pop()!;
    order[at++] = i;
    depth[i] = parent[i] === -1 ? 0 : Math.min(65_535, depth[parent[i]!]! + 1);
    for (let k = childStart[i + 1]! - 1; k >= childStart[i]!; k--) stack.push(children[k]!);
  }
  for (let k = at - 1; k >= 0; k--) {
    const i = order[k]!;
    if (parent[i] !== -1) subtree[parent[i]!]! += subtree[i]!;
  }
  return { order, depth, subtree };
}

function measure(tree: Tree): void {
  const { rows, parent, flags, order, subtreeErrors } = tree;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    if (row.missing) continue;
    if (row.start < tree.from) tree.from = row.start;
    const last = Number.isNaN(row.end) ? row.start : row.end;
    if (last > tree.to) tree.to = last;
    if (row.start > tree.to) tree.to = row.start;
    if (Number.isNaN(row.end)) tree.openCount++;
    else if (row.end < row.start) flags[i]! |= BACKWARDS;
    if (row.status === "ERROR") {
      tree.errorCount++;
      subtreeErrors[i] = 1;
    }
    const up = parent[i]!;
    if (up === -1 || rows[up]!.missing) continue;
    if (row.start < rows[up]!.start - CLOCK_TOLERANCE) flags[i]! |= EARLY;
    if (row.end > rows[up]!.end + CLOCK_TOLERANCE) flags[i]! |= OUTLIVES;
  }
  if (tree.from === Number.POSITIVE_INFINITY) tree.from = tree.to = 0;
  for (let k = order.length - 1; k >= 0; k--) {
    const i = order[k]!;
    if (parent[i] !== -1) subtreeErrors[parent[i]!]! += subtreeErrors[i]!;
  }
}

/** Where the span ends on the picture: a running one reaches to `now`. */
export function endOf(row: SpanRow, now: number): number {
  return Number.isNaN(row.end) ? Math.max(row.start, now) : Math.max(row.start, row.end);
}

/** Children of a row, or the roots for `rows.length`. */
export function childrenOf(tree: Tree, i: number): Int32Array {
  return tree.children.subarray(tree.childStart[i]!, tree.childStart[i + 1]!);
}

/** What is odd about a row, in words. Empty for an ordinary one. */
export function findings(tree: Tree, i: number): { label: string; text: string }[] {
  const flags = tree.flags[i]!;
  const row = tree.rows[i]!;
  const list: { label: string; text: string }[] = [];
  if (row.missing) {
    list.push({
      label: "missing",
      text: `No span with the id ${row.id} has arrived. Its children are shown here until it does.`,
    });
  }
  if (flags & ORPHAN) list.push({ label: "orphan", text: `Its parent ${row.parentId} has not arrived.` });
  if (flags & CYCLE) {
    list.push({
      label: "circle",
      text: `Its parent ${row.parentId} is also below it. The link is ignored here, so that it can be shown.`,
    });
  }
  if (flags & EARLY) {
    const by = tree.rows[tree.parent[i]!]!.start - row.start;
    list.push({
      label: "clock skew",
      text: `Starts ${Math.round(by / 1000)} ms before its parent: their clocks disagree. Times are shown as reported.`,
    });
  }
  if (flags & OUTLIVES) {
    const by = row.end - tree.rows[tree.parent[i]!]!.end;
    list.push({
      label: "outlives parent",
      text: `Ends ${Math.round(by / 1000)} ms after its parent: detached work, or clocks that disagree.`,
    });
  }
  if (flags & BACKWARDS)
    list.push({ label: "backwards", text: "Ends before it starts. Times are shown as reported." });
  return list;
}

/** Calls `visit` with each ancestor of a row, nearest first. */
export function ancestors(tree: Tree, i: number, visit: (ancestor: number) => void): void {
  for (let up = tree.parent[i]!; up !== -1; up = tree.parent[up]!) visit(up);
}

export function kindIndex(kind: Kind): number {
  return KINDS.indexOf(kind);
}
