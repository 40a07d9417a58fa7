import { findRepeats, stepName } from "./repeats";
import type { Tree } from "./tree";

/** A folded run of siblings: one line that stands for many spans. */
export interface Group {
  /** The first member's id: it stays the same while more arrive. */
  key: string;
  parent: number;
  members: Int32Array;
  /** Names of one round's steps. */
  label: string;
  rounds: number;
  errors: number;
  open: boolean;
}

/** Which lines the reader sees. References of zero and above are rows of the tree; below zero, `~k` is group `k`. */
export interface Lines {
  refs: Int32Array;
  depths: Uint16Array;
  groups: Group[];
  /** The line of each row of the tree, or -1 when it is folded away. */
  lineOfRow: Int32Array;
}

/** What the reader folded and unfolded. Ids, not positions: it survives spans that arrive. */
export interface Folding {
  /** Rows above this depth show their children unless they are exceptions. */
  openDepth: number;
  exceptions: ReadonlySet<string>;
  openGroups: ReadonlySet<string>;
  foldRepeats: boolean;
}

export const ALL_OPEN: Folding = {
  openDepth: Number.POSITIVE_INFINITY,
  exceptions: new Set(),
  openGroups: new Set(),
  foldRepeats: true,
};

export function isOpen(tree: Tree, folding: Folding, i: number): boolean {
  return tree.depth[i]! < folding.openDepth !== folding.exceptions.has(tree.rows[i]!.id);
}

/** Lays the tree out as lines, one per visible row or folded run. */
export function layOut(tree: Tree, folding: Folding): Lines {
  const count = tree.rows.length;
  let refs = new Int32Array(count + 64);
  let depths = new Uint16Array(count + 64);
  const lineOfRow = new Int32Array(count).fill(-1);
  const groups: Group[] = [];
  let length = 0;
  const push = (ref: number, depth: number) => {
    if (length === refs.length) {
      const wider = new Int32Array(length * 2);
      wider.set(refs);
      refs = wider;
      const deeper = new Uint16Array(length * 2);
      deeper.set(depths);
      depths = deeper;
    }
    refs[length] = ref;
    depths[length] = Math.min(65_535, depth);
    if (ref >= 0) lineOfRow[ref] = length;
    length++;
  };

  // A stack of pending work, last first: rows to show, or groups to show with their members.
  const stack: number[] = [];
  const stackDepth: number[] = [];
  const pushChildren = (i: number, depth: number) => {
    const a = tree.childStart[i]!;
    const b = tree.childStart[i + 1]!;
    if (a === b) return;
    const siblings = tree.children.subarray(a, b);
    const repeats = folding.foldRepeats ? findRepeats(tree, siblings) : [];
    let k = siblings.length;
    for (let r = repeats.length - 1; r >= 0; r--) {
      const repeat = repeats[r]!;
      for (k--; k >= repeat.to; k--) {
        stack.push(siblings[k]!);
        stackDepth.push(depth);
      }
      stack.push(~groups.length);
      stackDepth.push(depth);
      groups.push(makeGroup(tree, folding, i === count ? -1 : i, siblings, repeat));
      k = repeat.from;
    }
    for (k--; k >= 0; k--) {
      stack.push(siblings[k]!);
      stackDepth.push(depth);
    }
  };
  pushChildren(count, 0);
  while (stack.length > 0) {
    const ref = stack.pop()!;
    const depth = stackDepth.pop()!;
    push(ref, depth);
    if (ref >= 0) {
      if (isOpen(tree, folding, ref)) pushChildren(ref, depth + 1);
    } else {
      const group = groups[~ref]!;
      if (!group.open) continue;
      for (let k = group.members.length - 1; k >= 0; k--) {
        stack.push(group.members[k]!);
        stackDepth.push(depth + 1);
      }
    }
  }
  return { refs: refs.subarray(0, length), depths: depths.subarray(0, length), groups, lineOfRow };
}

function makeGroup(
  tree: Tree,
  folding: Folding,
  parent: number,
  siblings: Int32Array,
  repeat: { from: number; to: number; period: number },
): Group {
  const members = siblings.slice(repeat.from, repeat.to);
  const names: string[] = [];
  for (let k = 0; k < repeat.period; k++) {
    const name = tree.rows[members[k]!]!.name;
    const next = tree.rows[members[k + repeat.period]!]!.name;
    names.push(name === next ? name : stepName(name));
  }
  let errors = 0;
  for (const i of members) errors += tree.subtreeErrors[i]!;
  const key = tree.rows[members[0]!]!.id;
  return {
    key,
    parent,
    members,
    label: names.join(" → "),
    rounds: members.length / repeat.period,
    errors,
    open: folding.openGroups.has(key),
  };
}

/** Opens whatever hides a row, and returns the folding that shows it. */
export function reveal(tree: Tree, folding: Folding, i: number): Folding {
  const exceptions = new Set(folding.exceptions);
  const openGroups = new Set(folding.openGroups);
  let at = i;
  for (;;) {
    const up = tree.parent[at]!;
    if (folding.foldRepeats) {
      const siblings = tree.children.subarray(
        tree.childStart[up === -1 ? tree.rows.length : up]!,
        tree.childStart[(up === -1 ? tree.rows.length : up) + 1]!,
      );
      if (siblings.length >= 4) {
        const position = siblings.indexOf(at);
        const repeat = findRepeats(tree, siblings).find((r) => r.from <= position && position < r.to);
        if (repeat) openGroups.add(tree.rows[siblings[repeat.from]!]!.id);
      }
    }
    if (up === -1) break;
    const id = tree.rows[up]!.id;
    if (!isOpen(tree, { ...folding, exceptions }, up)) {
      if (exceptions.has(id)) exceptions.delete(id);
      else exceptions.add(id);
    }
    at = up;
  }
  return { ...folding, exceptions, openGroups };
}
