import type { Tree } from "./tree";

/** A run of siblings that do the same thing over and over. */
export interface Repeat {
  /** First and one past the last position among the siblings. */
  from: number;
  to: number;
  /** How many siblings make one round. */
  period: number;
}

/** A run of single steps without children folds from here on. */
const FEW_LEAVES = 4;
/** A run of steps that have children of their own hides more, so it must be longer. */
const FEW_SUBTREES = 25;
/** A loop of several steps folds from this many rounds on. */
const FEW_ROUNDS = 6;
const LONGEST_ROUND = 4;

/** The name with its numbers taken out: `turn_12` and `turn_13` are the same step. */
export function stepName(name: string): string {
  return name.replace(/\d+/g, "#");
}

const steps = new Map<string, number>();

function stepOf(tree: Tree, i: number): number {
  const row = tree.rows[i]!;
  const key = `${row.kind}\n${row.name}`;
  let step = steps.get(key);
  if (step === undefined) {
    const plain = `${row.kind}\n${stepName(row.name)}`;
    step = steps.get(`\0${plain}`);
    if (step === undefined) {
      step = steps.size;
      steps.set(`\0${plain}`, step);
    }
    steps.set(key, step);
  }
  return step;
}

/**
 * Finds the repeats among siblings given in order: runs of one step, and loops of up to four steps.
 * Takes the longest from left to right; what is left stands alone.
 */
export function findRepeats(tree: Tree, siblings: ArrayLike<number>): Repeat[] {
  const count = siblings.length;
  if (count < FEW_LEAVES) return [];
  if (steps.size > 200_000) steps.clear();
  const keys = new Int32Array(count);
  for (let k = 0; k < count; k++) {
    const i = siblings[k]!;
    // A stand-in for a missing parent is never folded away: it is a finding.
    keys[k] = tree.rows[i]!.missing ? -1 - k : stepOf(tree, i);
  }
  const repeats: Repeat[] = [];
  let at = 0;
  while (at < count) {
    let best: Repeat | null = null;
    for (let period = 1; period <= LONGEST_ROUND && at + period * 2 <= count; period++) {
      let to = at + period;
      while (to < count && keys[to] === keys[to - period]) to++;
      const rounds = Math.floor((to - at) / period);
      const end = at + rounds * period;
      if (!worthFolding(tree, siblings, at, end, period, rounds)) continue;
      if (best === null || end > best.to) best = { from: at, to: end, period };
    }
    if (best) {
      repeats.push(best);
      at = best.to;
    } else at++;
  }
  return repeats;
}

function worthFolding(
  tree: Tree,
  siblings: ArrayLike<number>,
  from: number,
  to: number,
  period: number,
  rounds: number,
): boolean {
  if (period > 1) return rounds >= FEW_ROUNDS && to - from >= FEW_SUBTREES / 2;
  if (rounds < FEW_LEAVES) return false;
  if (rounds >= FEW_SUBTREES) return true;
  for (let k = from; k < to; k++) if (tree.subtree[siblings[k]!]! > 1) return false;
  return true;
}
