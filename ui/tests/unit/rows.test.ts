import { describe, expect, it } from "vitest";
import { ALL_OPEN, type Folding, layOut, reveal } from "../../src/model/rows";
import type { SpanRow } from "../../src/model/span";
import type { Tree } from "../../src/model/tree";
import { row, tree } from "./build";

function print(built: Tree, folding: Folding): string[] {
  const lines = layOut(built, folding);
  return Array.from(lines.refs).map((ref, line) => {
    const indent = " ".repeat(lines.depths[line]!);
    if (ref >= 0) return `${indent}${built.rows[ref]!.id}`;
    const group = lines.groups[~ref]!;
    return `${indent}${group.label} x ${group.rounds}${group.errors > 0 ? ` (${group.errors} failed)` : ""}`;
  });
}

function run(names: string[]): SpanRow[] {
  return [
    row("root", null, 0, 10_000),
    ...names.map((name, i) => row(`${name}${i}`, "root", i * 10, i * 10 + 5, { name })),
  ];
}

describe("lines", () => {
  it("fold a run of one tool into one line", () => {
    const names = ["plan", ...Array.from({ length: 37 }, () => "search"), "answer"];
    expect(print(tree(run(names)), ALL_OPEN)).toEqual(["root", " plan0", " search x 37", " answer38"]);
  });

  it("leave short runs alone, and all of them when the reader asks", () => {
    expect(print(tree(run(["a", "a", "a"])), ALL_OPEN)).toHaveLength(4);
    expect(print(tree(run(["a", "a", "a", "a"])), ALL_OPEN)).toEqual(["root", " a x 4"]);
    expect(print(tree(run(["a", "a", "a", "a"])), { ...ALL_OPEN, foldRepeats: false })).toHaveLength(5);
  });

  it("fold a loop of several steps, and take numbers out of names that count", () => {
    const loop = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? "think" : "act"));
    expect(print(tree(run(["start", ...loop])), ALL_OPEN)).toEqual(["root", " start0", " think → act x 30"]);
    const turns = Array.from({ length: 30 }, (_, i) => `turn_${i}`);
    expect(print(tree(run(turns)), ALL_OPEN)).toEqual(["root", " turn_# x 30"]);
  });

  it("say how many failures a fold hides", () => {
    const rows = run(Array.from({ length: 5 }, () => "call"));
    rows[3]!.status = "ERROR";
    expect(print(tree(rows), ALL_OPEN)).toEqual(["root", " call x 5 (1 failed)"]);
  });

  it("do not fold few steps that have children of their own", () => {
    const rows = [row("root", null, 0, 100)];
    for (let i = 0; i < 6; i++)
      rows.push(row(`t${i}`, "root", i, i + 1, { name: "turn" }), row(`c${i}`, `t${i}`, i, i + 1));
    expect(print(tree(rows), ALL_OPEN)).toHaveLength(13);
  });

  it("fold by depth with exceptions", () => {
    const built = tree([row("a", null, 0, 9), row("b", "a", 1, 5), row("c", "b", 2, 3), row("d", "a", 6, 8)]);
    const folded = { ...ALL_OPEN, openDepth: 1 };
    expect(print(built, folded)).toEqual(["a", " b", " d"]);
    expect(print(built, { ...folded, exceptions: new Set(["b"]) })).toEqual(["a", " b", "  c", " d"]);
    expect(print(built, { ...ALL_OPEN, exceptions: new Set(["a"]) })).toEqual(["a"]);
  });

  it("show a span that folds hide, when it is asked for", () => {
    const rows = run(Array.from({ length: 40 }, () => "call"));
    rows.push(row("deep", "call20", 200, 201));
    const built = tree(rows);
    const closed = { ...ALL_OPEN, openDepth: 0 };
    const deep = built.index.get("deep")!;
    expect(layOut(built, closed).lineOfRow[deep]).toBe(-1);
    const shown = reveal(built, closed, deep);
    expect(layOut(built, shown).lineOfRow[deep]).toBeGreaterThan(0);
  });

  it("keep folds by id while spans arrive", () => {
    const names = Array.from({ length: 8 }, () => "call");
    const before = tree(run(names));
    const first = before.rows[before.index.get("call0")!]!.id;
    const after = tree(run([...names, "call", "other"]));
    const open = { ...ALL_OPEN, openGroups: new Set([first]) };
    expect(print(after, open)[1]).toBe(" call x 9");
    expect(print(after, open)).toHaveLength(1 + 1 + 9 + 1);
  });
});
