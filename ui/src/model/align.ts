import { diff } from "./diff";
import { stepName } from "./repeats";
import type { SpanRow } from "./span";
import { childrenOf, type Tree } from "./tree";

export type Mark = "same" | "changed" | "only-a" | "only-b";

/** One line of the comparison: a row of each trace that stand for the same step, or a row that stands alone. */
export interface Pair {
  a: number;
  b: number;
  depth: number;
  mark: Mark;
  /** What differs, in words, when both are there. */
  differences: string[];
  /** Lines of the subtree, this one included. */
  size: number;
  /** How many of those lines differ. */
  different: number;
}

/** Slower or faster by less than a fifth, or by less than this many microseconds, is weather. */
const WEATHER = 50_000;

/** Aligns two traces by structure: siblings of the same kind and name pair up in order. */
export function alignTrees(a: Tree, b: Tree): Pair[] {
  const pairs: Pair[] = [];
  type Work = { a: number; b: number; depth: number; mark: Mark };
  const stack: Work[] = [];
  const pushChildren = (rowA: number, rowB: number, depth: number) => {
    const kidsA = rowA === -1 ? [] : Array.from(childrenOf(a, rowA));
    const kidsB = rowB === -1 ? [] : Array.from(childrenOf(b, rowB));
    const found: Work[] = [];
    const keysA = kidsA.map((i) => stepKey(a.rows[i]!));
    const keysB = kidsB.map((i) => stepKey(b.rows[i]!));
    for (const hunk of diff(keysA, keysB)) {
      if (hunk.equal) {
        for (let k = 0; k < hunk.aTo - hunk.aFrom; k++) {
          found.push({ a: kidsA[hunk.aFrom + k]!, b: kidsB[hunk.bFrom + k]!, depth, mark: "same" });
        }
        continue;
      }
      for (let i = hunk.aFrom; i < hunk.aTo; i++) found.push({ a: kidsA[i]!, b: -1, depth, mark: "only-a" });
      for (let i = hunk.bFrom; i < hunk.bTo; i++) found.push({ a: -1, b: kidsB[i]!, depth, mark: "only-b" });
    }
    for (let k = found.length - 1; k >= 0; k--) stack.push(found[k]!);
  };
  // Roots pair up whatever they are called: the reader chose to compare them.
  const rootsA = childrenOf(a, a.rows.length);
  const rootsB = childrenOf(b, b.rows.length);
  if (rootsA.length === 1 && rootsB.length === 1) {
    stack.push({ a: rootsA[0]!, b: rootsB[0]!, depth: 0, mark: "same" });
  } else pushChildren(a.rows.length, b.rows.length, 0);

  while (stack.length > 0) {
    const work = stack.pop()!;
    const rowA = work.a === -1 ? null : a.rows[work.a]!;
    const rowB = work.b === -1 ? null : b.rows[work.b]!;
    const differences = rowA && rowB ? compareRows(rowA, rowB) : [];
    const mark = work.mark === "same" && differences.length > 0 ? "changed" : work.mark;
    pairs.push({ a: work.a, b: work.b, depth: work.depth, mark, differences, size: 1, different: 0 });
    pushChildren(work.a, work.b, work.depth + 1);
  }
  const open: number[] = [];
  for (let k = 0; k <= pairs.length; k++) {
    const depth = k < pairs.length ? pairs[k]!.depth : -1;
    while (open.length > 0 && pairs[open[open.length - 1]!]!.depth >= depth) {
      const closed = pairs[open.pop()!]!;
      const up = open.length > 0 ? pairs[open[open.length - 1]!]! : null;
      if (up) {
        up.size += closed.size;
        up.different += closed.different;
      }
    }
    if (k < pairs.length) {
      if (pairs[k]!.mark !== "same") pairs[k]!.different = 1;
      open.push(k);
    }
  }
  return pairs;
}

function stepKey(row: SpanRow): string {
  return `${row.kind}\n${stepName(row.name)}`;
}

function compareRows(a: SpanRow, b: SpanRow): string[] {
  const list: string[] = [];
  if (stepName(a.name) !== stepName(b.name)) list.push("name");
  if ((a.status ?? "") !== (b.status ?? "") && (a.status === "ERROR" || b.status === "ERROR"))
    list.push("status");
  if ((a.model ?? "") !== (b.model ?? "")) list.push("model");
  const tookA = a.end - a.start;
  const tookB = b.end - b.start;
  if (Math.abs(tookB - tookA) > Math.max(WEATHER, 0.2 * Math.max(tookA, tookB))) {
    list.push(tookB > tookA ? "slower" : "faster");
  }
  const tokensA = (a.inputTokens || 0) + (a.outputTokens || 0);
  const tokensB = (b.inputTokens || 0) + (b.outputTokens || 0);
  if (Math.abs(tokensB - tokensA) > 0.2 * Math.max(tokensA, tokensB)) list.push("tokens");
  return list;
}
