import { describe, expect, it } from "vitest";
import { alignTrees } from "../../src/model/align";
import { row, tree } from "./build";

describe("alignment", () => {
  it("pairs the same steps and marks what only one run did", () => {
    const a = tree([
      row("r", null, 0, 100, { name: "agent x" }),
      row("1", "r", 0, 10, { name: "plan" }),
      row("2", "r", 10, 20, { name: "search" }),
      row("3", "r", 20, 30, { name: "answer" }),
    ]);
    const b = tree([
      row("R", null, 0, 100, { name: "agent y" }),
      row("7", "R", 0, 10, { name: "plan" }),
      row("8", "R", 10, 20, { name: "answer" }),
      row("9", "R", 30, 31, { name: "log" }),
    ]);
    const pairs = alignTrees(a, b);
    const text = pairs.map(
      (p) => `${p.mark} ${p.a < 0 ? "-" : a.rows[p.a]!.name} ${p.b < 0 ? "-" : b.rows[p.b]!.name}`,
    );
    expect(text).toEqual([
      "changed agent x agent y",
      "same plan plan",
      "only-a search -",
      "same answer answer",
      "only-b - log",
    ]);
    expect(pairs[0]!.size).toBe(5);
    expect(pairs[0]!.different).toBe(3);
  });

  it("calls a step slower only when it matters", () => {
    const run = (ms: number, status: "SUCCESS" | "ERROR") =>
      tree([row("r", null, 0, ms, { name: "x", status })]);
    expect(alignTrees(run(1000, "SUCCESS"), run(1100, "SUCCESS"))[0]!.differences).toEqual([]);
    expect(alignTrees(run(10, "SUCCESS"), run(40, "SUCCESS"))[0]!.differences).toEqual([]);
    expect(alignTrees(run(1000, "SUCCESS"), run(1500, "ERROR"))[0]!.differences).toEqual([
      "status",
      "slower",
    ]);
  });

  it("holds every row of both trees exactly once", () => {
    const a = tree(
      Array.from({ length: 200 }, (_, i) =>
        row(`a${i}`, i === 0 ? null : `a${i >> 1}`, i, i + 1, { name: `s${i % 5}` }),
      ),
    );
    const b = tree(
      Array.from({ length: 150 }, (_, i) =>
        row(`b${i}`, i === 0 ? null : `b${Math.floor(i / 3)}`, i, i + 1, { name: `s${i % 4}` }),
      ),
    );
    const pairs = alignTrees(a, b);
    expect(new Set(pairs.filter((p) => p.a >= 0).map((p) => p.a)).size).toBe(200);
    expect(new Set(pairs.filter((p) => p.b >= 0).map((p) => p.b)).size).toBe(150);
    expect(pairs.filter((p) => p.a >= 0)).toHaveLength(200);
  });
});
