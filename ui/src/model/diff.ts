/** A run of equal or changed items: `a[aFrom..aTo]` became `b[bFrom..bTo]`. */
export interface Hunk {
  equal: boolean;
  aFrom: number;
  aTo: number;
  bFrom: number;
  bTo: number;
}

/** Beyond this many edits the middle is shown as replaced whole: it has nothing in common worth finding. */
const MOST_EDITS = 2000;

/**
 * Compares two sequences (Myers, with common ends taken off first). Items are equal when their keys are.
 * Returns hunks that cover both sequences in order.
 */
export function diff(a: readonly string[], b: readonly string[]): Hunk[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (
    tail < a.length - head &&
    tail < b.length - head &&
    a[a.length - 1 - tail] === b[b.length - 1 - tail]
  )
    tail++;
  const hunks: Hunk[] = [];
  const push = (equal: boolean, aFrom: number, aTo: number, bFrom: number, bTo: number) => {
    if (aFrom === aTo && bFrom === bTo) return;
    const last = hunks[hunks.length - 1];
    if (last && last.equal === equal) {
      last.aTo = aTo;
      last.bTo = bTo;
    } else hunks.push({ equal, aFrom, aTo, bFrom, bTo });
  };
  push(true, 0, head, 0, head);
  const aEnd = a.length - tail;
  const bEnd = b.length - tail;
  const matches = myers(a.slice(head, aEnd), b.slice(head, bEnd));
  let x = head;
  let y = head;
  for (const [i, j] of matches) {
    push(false, x, head + i, y, head + j);
    push(true, head + i, head + i + 1, head + j, head + j + 1);
    x = head + i + 1;
    y = head + j + 1;
  }
  push(false, x, aEnd, y, bEnd);
  push(true, aEnd, a.length, bEnd, b.length);
  return hunks;
}

/** Pairs of positions that match, by the shortest edit script. */
function myers(a: readonly string[], b: readonly string[]): [number, number][] {
  const n = a.length;
  const m = b.length;
  if (n === 0 || m === 0) return [];
  const most = Math.min(n + m, MOST_EDITS);
  const size = 2 * most + 2;
  const reach = new Int32Array(size);
  const history: Int32Array[] = [];
  let edits = -1;
  search: for (let d = 0; d <= most; d++) {
    // Only the diagonals that this round can touch are remembered.
    history.push(reach.slice(most - d, most + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[most + k - 1]! < reach[most + k + 1]!);
      let x = down ? reach[most + k + 1]! : reach[most + k - 1]! + 1;
      let y = x - k;
      while (x < n && y < m && a[x] === b[y]) {
        x++;
        y++;
      }
      reach[most + k] = x;
      if (x >= n && y >= m) {
        edits = d;
        break search;
      }
    }
  }
  if (edits === -1) return [];
  const pairs: [number, number][] = [];
  let x = n;
  let y = m;
  for (let d = edits; d > 0; d--) {
    const past = history[d]!;
    const at = (k: number) => past[k + d]!;
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const from = down ? k + 1 : k - 1;
    const startX = at(from);
    const startY = startX - from;
    const afterX = down ? startX : startX + 1;
    while (x > afterX && y > startY) {
      if (x - 1 < 0 || y - 1 < 0 || a[x - 1] !== b[y - 1]) break;
      x--;
      y--;
      pairs.push([x, y]);
    }
    x = startX;
    y = startY;
  }
  while (x > 0 && y > 0) {
    x--;
    y--;
    pairs.push([x, y]);
  }
  return pairs.reverse();
}

export interface DiffLine {
  sign: " " | "+" | "-";
  text: string;
}

/** The lines of two texts, with what was taken away and added marked. */
export function diffLines(before: string, after: string): DiffLine[] {
  const a = before === "" ? [] : before.split("\n");
  const b = after === "" ? [] : after.split("\n");
  const lines: DiffLine[] = [];
  for (const hunk of diff(a, b)) {
    if (hunk.equal) for (let i = hunk.bFrom; i < hunk.bTo; i++) lines.push({ sign: " ", text: b[i]! });
    else {
      for (let i = hunk.aFrom; i < hunk.aTo; i++) lines.push({ sign: "-", text: a[i]! });
      for (let i = hunk.bFrom; i < hunk.bTo; i++) lines.push({ sign: "+", text: b[i]! });
    }
  }
  return lines;
}
