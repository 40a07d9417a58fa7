import type { SpanRow } from "./span";
import type { Tree } from "./tree";

/** What a query within a trace asks for: words, and conditions such as `kind:tool` or `is:error`. */
export interface TraceQuery {
  text: string;
  kind: string | null;
  is: "error" | "open" | "odd" | null;
  model: string | null;
}

export function parseTraceQuery(query: string): TraceQuery {
  const parsed: TraceQuery = { text: "", kind: null, is: null, model: null };
  const words: string[] = [];
  for (const word of query.split(/\s+/)) {
    const match = /^(kind|is|model):(.+)$/i.exec(word);
    if (!match) {
      words.push(word);
      continue;
    }
    const value = match[2]!.toLowerCase();
    if (match[1]!.toLowerCase() === "kind") parsed.kind = value;
    else if (match[1]!.toLowerCase() === "model") parsed.model = value;
    else if (value === "error" || value === "open" || value === "odd") parsed.is = value;
  }
  parsed.text = words.join(" ").trim().toLowerCase();
  return parsed;
}

export function isEmptyQuery(query: TraceQuery): boolean {
  return query.text === "" && query.kind === null && query.is === null && query.model === null;
}

/** Rows that match, in the order of the tree. `payloadHits` are ids that the server found the text in. */
export function findRows(tree: Tree, query: TraceQuery, payloadHits: ReadonlySet<string>): Int32Array {
  if (isEmptyQuery(query)) return new Int32Array(0);
  const found: number[] = [];
  for (const i of tree.order) {
    const row = tree.rows[i]!;
    if (query.kind !== null && row.kind !== query.kind) continue;
    if (query.model !== null && !row.model?.toLowerCase().includes(query.model)) continue;
    if (query.is === "error" && row.status !== "ERROR") continue;
    if (query.is === "open" && !(Number.isNaN(row.end) && !row.missing)) continue;
    if (query.is === "odd" && tree.flags[i] === 0 && !row.missing) continue;
    if (query.text !== "" && !holds(row, query.text) && !payloadHits.has(row.id)) continue;
    found.push(i);
  }
  return Int32Array.from(found);
}

function holds(row: SpanRow, text: string): boolean {
  return (
    row.name.toLowerCase().includes(text) ||
    row.id.toLowerCase().includes(text) ||
    row.model?.toLowerCase().includes(text) ||
    row.error?.toLowerCase().includes(text) ||
    (row.type !== null && row.type.toLowerCase() === text)
  );
}
