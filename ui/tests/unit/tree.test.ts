import { describe, expect, it } from "vitest";
import { BACKWARDS, CYCLE, childrenOf, EARLY, findings, ORPHAN, OUTLIVES } from "../../src/model/tree";
import { Random } from "../runs";
import { print, row, tree } from "./build";

describe("tree", () => {
  it("orders siblings by start and then by id, whatever order they arrive in", () => {
    const built = tree([
      row("c", "r", 5, 6),
      row("b", "r", 2, 3),
      row("a", "r", 5, 9),
      row("r", null, 0, 10),
    ]);
    expect(print(built)).toBe("r\n  b\n  a\n  c");
  });

  it("puts children of a parent that never came under a stand-in that reaches around them", () => {
    const built = tree([
      row("r", null, 0, 10),
      row("x", "lost", 3, 5),
      row("y", "lost", 7, 8),
      row("z", "x", 4, 5),
    ]);
    expect(print(built)).toBe("r\n?lost\n  x\n    z\n  y");
    const stand = built.rows[built.index.get("lost")!]!;
    expect([stand.start, stand.end]).toEqual([3000, 8000]);
    expect(built.flags[1]! & ORPHAN).toBe(ORPHAN);
    expect(built.spanCount).toBe(4);
    expect(findings(built, built.index.get("x")!)[0]!.text).toContain("lost has not arrived");
  });

  it("cuts a circle at its earliest span and says so", () => {
    const built = tree([row("a", "c", 5, 6), row("b", "a", 2, 9), row("c", "b", 3, 4), row("d", "c", 3, 4)]);
    expect(print(built)).toBe("b\n  c\n    d\n    a");
    expect(built.flags[1]! & CYCLE).toBe(CYCLE);
    expect(built.flags[0]! & CYCLE).toBe(0);
  });

  it("cuts a span that is its own parent", () => {
    expect(print(tree([row("a", "a", 0, 1)]))).toBe("a");
  });

  it("tells skewed clocks, detached work and backwards spans apart", () => {
    const built = tree([
      row("r", null, 100, 200),
      row("early", "r", 50, 120),
      row("late", "r", 150, 260),
      row("back", "r", 160, 140),
      row("close", "r", 99.5, 200.5),
    ]);
    const flags = (id: string) => built.flags[built.index.get(id)!];
    expect([flags("early"), flags("late"), flags("back"), flags("close")]).toEqual([
      EARLY,
      OUTLIVES,
      BACKWARDS,
      0,
    ]);
    expect(findings(built, built.index.get("early")!)[0]!.text).toContain("50 ms before its parent");
  });

  it("counts failures below every span, and open spans", () => {
    const built = tree([
      row("r", null, 0, Number.NaN),
      row("a", "r", 1, 2, { status: "ERROR" }),
      row("b", "a", 1, 2, { status: "ERROR" }),
    ]);
    expect(built.subtreeErrors[0]).toBe(2);
    expect(built.openCount).toBe(1);
  });

  it("holds any shape of parents: every span once, parents before children", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const count = 1 + random.below(60);
      const rows = Array.from({ length: count }, (_, i) => {
        const parent = random.below(4) === 0 ? null : `s${random.below(count + 5)}`;
        const start = random.below(1000);
        return row(`s${i}`, parent, start, start + random.below(100));
      });
      const built = tree(rows);
      expect(new Set(built.order).size).toBe(built.rows.length);
      const seen = new Set<number>([-1]);
      for (const i of built.order) {
        expect(seen.has(built.parent[i]!)).toBe(true);
        seen.add(i);
      }
      let children = 0;
      for (let i = 0; i <= built.rows.length; i++) children += childrenOf(built, i).length;
      expect(children).toBe(built.rows.length);
    }
  });

  it("holds a chain of 100,000 spans without running out of stack", () => {
    const rows = Array.from({ length: 100_000 }, (_, i) =>
      row(`s${i}`, i === 0 ? null : `s${i - 1}`, i, 200_000),
    );
    const built = tree(rows);
    expect(built.subtree[0]).toBe(100_000);
    expect(built.depth[70_000]).toBe(65_535);
  });
});
