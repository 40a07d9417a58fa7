import { kindOf } from "../../src/model/kinds";
import type { SpanRow } from "../../src/model/span";
import { buildTree, type Tree } from "../../src/model/tree";

/** A row for tests: times in milliseconds. */
export function row(
  id: string,
  parent: string | null,
  start: number,
  end: number,
  more: Partial<SpanRow> = {},
): SpanRow {
  const name = more.name ?? id;
  const type = more.type ?? null;
  return {
    id,
    parentId: parent,
    name,
    type,
    kind: more.kind ?? kindOf(type, name),
    status: more.status ?? (Number.isNaN(end) ? null : "SUCCESS"),
    start: start * 1000,
    end: end * 1000,
    inputTokens: Number.NaN,
    outputTokens: Number.NaN,
    cachedTokens: Number.NaN,
    costUsd: Number.NaN,
    model: null,
    error: null,
    missing: false,
    ...more,
  };
}

export function tree(rows: SpanRow[]): Tree {
  return buildTree({ traceId: "t", account: "default", base: 0, rows });
}

/** The tree as indented text. */
export function print(built: Tree): string {
  return Array.from(built.order)
    .map((i) => `${"  ".repeat(built.depth[i]!)}${built.rows[i]!.missing ? "?" : ""}${built.rows[i]!.id}`)
    .join("\n");
}
