import { describe, expect, it } from "vitest";
import { criticalPath } from "../../src/model/critical-path";
import { selfTime, sumUp } from "../../src/model/totals";
import { Random } from "../runs";
import { row, tree } from "./build";

describe("critical path", () => {
  it("goes through what everything waited for, not through what ran beside it", () => {
    const built = tree([
      row("root", null, 0, 100),
      row("first", "root", 0, 40),
      row("beside", "root", 0, 30),
      row("second", "root", 50, 95),
      row("inner", "second", 60, 90),
    ]);
    const path = criticalPath(built, 0);
    expect(path.stretches.map((s) => [built.rows[s.row]!.id, s.from / 1000, s.to / 1000])).toEqual([
      ["first", 0, 40],
      ["root", 40, 50],
      ["second", 50, 60],
      ["inner", 60, 90],
      ["second", 90, 95],
      ["root", 95, 100],
    ]);
  });

  it("covers the root's time exactly once, whatever the tree", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const rows = [row("s0", null, 0, 1000)];
      for (let i = 1; i < 40; i++) {
        const start = random.below(1100) - 50;
        rows.push(row(`s${i}`, `s${random.below(i)}`, start, start + random.below(400)));
      }
      const path = criticalPath(tree(rows), 0);
      let reach = 0;
      for (const stretch of path.stretches) {
        expect(stretch.from).toBeCloseTo(reach, 3);
        reach = stretch.to;
      }
      expect(reach).toBeCloseTo(1_000_000, 3);
    }
  });
});

describe("totals", () => {
  it("count usage at the lowest spans that carry it, never their sums again", () => {
    const built = tree([
      row("turn", null, 0, 10, { inputTokens: 300, outputTokens: 30, costUsd: 3 }),
      row("chat a", "turn", 1, 2, { inputTokens: 100, outputTokens: 10, costUsd: 1 }),
      row("step", "turn", 2, 5),
      row("chat b", "step", 3, 4, { inputTokens: 200, outputTokens: 20, costUsd: 2 }),
    ]);
    const totals = sumUp(built, new Float64Array(4), 0);
    expect([totals.inputTokens, totals.outputTokens, totals.costUsd]).toEqual([300, 30, 3]);
    expect(totals.rollups.map((i) => built.rows[i]!.id)).toEqual(["turn"]);
    expect(totals.counted).toBe(2);
  });

  it("say nothing about cost when nobody reported one", () => {
    expect(sumUp(tree([row("a", null, 0, 1)]), new Float64Array(1), 0).costUsd).toBeNaN();
  });

  it("take overlapping children off a span's own time once", () => {
    const built = tree([
      row("r", null, 0, 100),
      row("a", "r", 10, 50),
      row("b", "r", 30, 60),
      row("c", "r", 90, 140),
    ]);
    expect(selfTime(built, 0, 0)).toBe(40_000);
  });
});
