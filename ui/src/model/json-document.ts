/** What a node of a JSON document is. */
export const OBJECT = 1;
export const ARRAY = 2;
export const STRING = 3;
export const NUMBER = 4;
export const LITERAL = 5;

/**
 * A JSON text with an index of its nodes, in document order. The text stays as it came: key order, number
 * digits and repeated keys are shown as they are, which a parse into objects would lose.
 */
export interface JsonDocument {
  text: string;
  count: number;
  kind: Uint8Array;
  /** Where the node's value begins and ends in `text`. */
  start: Int32Array;
  end: Int32Array;
  /** Where its key begins and ends, quotes included; -1 inside arrays and at the root. */
  keyStart: Int32Array;
  keyEnd: Int32Array;
  /** The first node after this node's subtree. */
  after: Int32Array;
  /** The node that holds this one; -1 for the root. */
  holder: Int32Array;
  /** Members or elements directly inside. */
  size: Int32Array;
  depth: Uint16Array;
  /** Position among the holder's members. */
  position: Int32Array;
}

/** Thrown with the offset at which the text stops being JSON. */
export class JsonError extends Error {
  constructor(readonly offset: number) {
    super(`not JSON at character ${offset}`);
  }
}

const QUOTE = 34;
const BACKSLASH = 92;

/** Indexes a JSON text in one pass. Depth costs no stack. */
export function indexJson(text: string): JsonDocument {
  let capacity = Math.max(64, text.length >> 4);
  const make = () => ({
    kind: new Uint8Array(capacity),
    start: new Int32Array(capacity),
    end: new Int32Array(capacity),
    keyStart: new Int32Array(capacity),
    keyEnd: new Int32Array(capacity),
    after: new Int32Array(capacity),
    holder: new Int32Array(capacity),
    size: new Int32Array(capacity),
    depth: new Uint16Array(capacity),
    position: new Int32Array(capacity),
  });
  let d = make();
  let count = 0;
  let at = 0;
  let holder = -1;
  let depth = 0;
  let keyStart = -1;
  let keyEnd = -1;
  const grow = () => {
    const old = d;
    capacity *= 2;
    d = make();
    for (const name of Object.keys(old) as (keyof typeof old)[])
      (d[name] as Int32Array).set(old[name] as Int32Array);
  };
  const open = (kind: number, start: number): number => {
    if (count === capacity) grow();
    const node = count++;
    d.kind[node] = kind;
    d.start[node] = start;
    d.keyStart[node] = keyStart;
    d.keyEnd[node] = keyEnd;
    d.holder[node] = holder;
    d.depth[node] = depth;
    d.after[node] = node + 1;
    if (holder !== -1) d.position[node] = d.size[holder]!++;
    keyStart = keyEnd = -1;
    return node;
  };
  const space = () => {
    for (;;) {
      const c = text.charCodeAt(at);
      if (c === 32 || c === 10 || c === 13 || c === 9) at++;
      else return c;
    }
  };
  const skipString = () => {
    for (let from = at + 1; ; ) {
      const quote = text.indexOf('"', from);
      if (quote === -1) throw new JsonError(at);
      let slashes = 0;
      while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH) slashes++;
      if (slashes % 2 === 0) {
        at = quote + 1;
        return;
      }
      from = quote + 1;
    }
  };

  for (;;) {
    // A value begins here.
    let c = space();
    if (c === 123 || c === 91) {
      holder = open(c === 123 ? OBJECT : ARRAY, at);
      depth++;
      at++;
      c = space();
      if (c === 125 || c === 93) {
        if ((c === 125) !== (d.kind[holder] === OBJECT)) throw new JsonError(at);
        close();
      } else {
        if (d.kind[holder] === OBJECT) key();
        continue;
      }
    } else if (c === QUOTE) {
      const node = open(STRING, at);
      skipString();
      d.end[node] = at;
    } else {
      const node = open(c === 116 || c === 102 || c === 110 ? LITERAL : NUMBER, at);
      const from = at;
      for (; at < text.length; at++) {
        c = text.charCodeAt(at);
        if (c === 44 || c === 125 || c === 93 || c === 32 || c === 10 || c === 13 || c === 9) break;
      }
      if (at === from) throw new JsonError(at);
      d.end[node] = at;
    }
    // A value has ended: what holds it goes on or ends too.
    for (;;) {
      if (holder === -1) {
        space();
        if (at < text.length) throw new JsonError(at);
        return { text, count, ...d };
      }
      c = space();
      if (c === 44) {
        at++;
        if (d.kind[holder] === OBJECT) key();
        break;
      }
      if (c !== (d.kind[holder] === OBJECT ? 125 : 93)) throw new JsonError(at);
      close();
    }
  }

  function key(): void {
    if (space() !== QUOTE) throw new JsonError(at);
    const from = at;
    skipString();
    const to = at;
    if (space() !== 58) throw new JsonError(at);
    at++;
    keyStart = from;
    keyEnd = to;
  }

  function close(): void {
    at++;
    d.end[holder] = at;
    d.after[holder] = count;
    holder = d.holder[holder]!;
    depth--;
  }
}

/** The member of an object with this key (the last, should it repeat), or -1. */
export function member(document: JsonDocument, node: number, key: string): number {
  if (node < 0 || document.kind[node] !== OBJECT) return -1;
  let found = -1;
  for (let child = node + 1; child < document.after[node]!; child = document.after[child]!) {
    if (keyOf(document, child) === key) found = child;
  }
  return found;
}

export function keyOf(document: JsonDocument, node: number): string | null {
  const start = document.keyStart[node]!;
  return start < 0 ? null : decode(document.text.slice(start, document.keyEnd[node]!));
}

export function rawOf(document: JsonDocument, node: number): string {
  return document.text.slice(document.start[node]!, document.end[node]!);
}

/** The text that a JSON string stands for; a broken escape shows as it is written. */
export function decode(quoted: string): string {
  if (!quoted.includes("\\")) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted.slice(1, -1);
  }
}

/** The path of a node as it would be written in a program: `messages[3].content`. */
export function pathOf(document: JsonDocument, node: number): string {
  const parts: string[] = [];
  for (let at = node; at > 0 && document.holder[at] !== -1; at = document.holder[at]!) {
    const key = keyOf(document, at);
    if (key === null) parts.unshift(`[${document.position[at]}]`);
    else if (/^[A-Za-z_$][\w$]*$/.test(key)) parts.unshift(`.${key}`);
    else parts.unshift(`[${JSON.stringify(key)}]`);
  }
  return parts.join("").replace(/^\./, "") || "(all)";
}

/** One line of the viewer. */
export interface JsonLine {
  node: number;
  /** 0 the node's own line, 1 the closing bracket, 2 a piece of an unfolded string. */
  part: 0 | 1 | 2;
  /** For pieces of a string: the text of the piece. */
  piece?: string;
}

/** Widest piece of an unfolded string, in characters. */
const PIECE = 160;

/** Lays a document out as lines. `closed` holds folded containers, `long` the strings that are unfolded.
 * Only the subtree of `root` is laid out. */
export function jsonLines(
  document: JsonDocument,
  closed: ReadonlySet<number>,
  long: ReadonlySet<number>,
  wrap = PIECE,
  root = 0,
): JsonLine[] {
  const lines: JsonLine[] = [];
  const ends: number[] = [];
  const last = document.after[root]!;
  for (let node = root; node < last; ) {
    while (ends.length > 0 && node >= document.after[ends[ends.length - 1]!]!) {
      lines.push({ node: ends.pop()!, part: 1 });
    }
    lines.push({ node, part: 0 });
    const kind = document.kind[node]!;
    if (kind <= ARRAY && document.size[node]! > 0) {
      if (closed.has(node)) {
        node = document.after[node]!;
        continue;
      }
      ends.push(node);
    } else if (kind === STRING && long.has(node)) {
      const room = Math.max(30, wrap - 2 * (document.depth[node]! - document.depth[root]!));
      for (const piece of pieces(decode(rawOf(document, node)), room)) lines.push({ node, part: 2, piece });
    }
    node++;
  }
  while (ends.length > 0) lines.push({ node: ends.pop()!, part: 1 });
  return lines;
}

function pieces(text: string, wrap: number): string[] {
  const list: string[] = [];
  for (const line of text.split("\n")) {
    if (line.length <= wrap) {
      list.push(line);
      continue;
    }
    for (let at = 0; at < line.length; ) {
      let to = Math.min(line.length, at + wrap);
      if (to < line.length) {
        const blank = line.lastIndexOf(" ", to);
        if (blank > at + wrap / 2) to = blank + 1;
        else if ((line.charCodeAt(to - 1) & 0xfc00) === 0xd800) to--;
      }
      list.push(line.slice(at, to));
      at = to;
    }
  }
  return list;
}

/** Nodes whose key or value contains the text, in document order, at most `limit`. */
export function searchJson(document: JsonDocument, query: string, limit = 5000): number[] {
  if (query === "") return [];
  const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  const found: number[] = [];
  let node = 0;
  for (
    let match = pattern.exec(document.text);
    match && found.length < limit;
    match = pattern.exec(document.text)
  ) {
    // Nodes come in order of their start; a key belongs to the node that follows it.
    let low = node;
    let high = document.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const begin = document.keyStart[middle]! >= 0 ? document.keyStart[middle]! : document.start[middle]!;
      if (begin <= match.index) low = middle;
      else high = middle - 1;
    }
    node = low;
    const inside = match.index < document.end[node]! || document.kind[node]! > ARRAY;
    if (inside && found[found.length - 1] !== node) found.push(node);
  }
  return found;
}
