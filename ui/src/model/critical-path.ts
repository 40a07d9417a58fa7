import { childrenOf, endOf, OUTLIVES, type Tree } from "./tree";

/** A stretch of the critical path: while it lasted, this row was what everything waited for. */
export interface Stretch {
  row: number;
  from: number;
  to: number;
}

export interface CriticalPath {
  /** In order of time, without overlap. */
  stretches: Stretch[];
  /** Microseconds that each row itself spends on the path, children excluded. */
  self: Float64Array;
}

/**
 * Finds the chain of work that decided how long the trace took. Walks back from the end of the longest root:
 * whatever child ended last held up its parent; before that child began, the sibling that had ended last did.
 */
export function criticalPath(tree: Tree, now: number): CriticalPath {
  const self = new Float64Array(tree.rows.length);
  const stretches: Stretch[] = [];
  const roots = childrenOf(tree, tree.rows.length);
  let root = -1;
  for (const i of roots) {
    const row = tree.rows[i]!;
    if (root === -1 || endOf(row, now) - row.start > endOf(tree.rows[root]!, now) - tree.rows[root]!.start)
      root = i;
  }
  if (root === -1) return { stretches, self };

  const add = (row: number, from: number, to: number) => {
    if (to <= from) return;
    if (!tree.rows[row]!.missing) self[row]! += to - from;
    stretches.push({ row, from, to });
  };
  const work: Stretch[] = [{ row: root, from: tree.rows[root]!.start, to: endOf(tree.rows[root]!, now) }];
  while (work.length > 0) {
    const { row, from, to } = work.pop()!;
    const kids = childrenOf(tree, row);
    let cursor = to;
    if (kids.length > 0) {
      const byEnd = kids.length === 1 ? kids : kids.slice().sort((a, b) => ended(b) - ended(a));
      for (const child of byEnd) {
        // What goes on after its parent ended is not what the parent waited for.
        if (tree.flags[child]! & OUTLIVES) continue;
        const end = Math.min(ended(child), to);
        if (end > cursor) continue;
        const start = Math.max(tree.rows[child]!.start, from);
        if (end <= from) break;
        if (start >= end) continue;
        add(row, end, cursor);
        work.push({ row: child, from: start, to: end });
        cursor = start;
        if (cursor <= from) break;
      }
    }
    add(row, from, cursor);
  }
  stretches.sort((a, b) => a.from - b.from);
  return { stretches, self };

  function ended(i: number): number {
    return endOf(tree.rows[i]!, now);
  }
}
