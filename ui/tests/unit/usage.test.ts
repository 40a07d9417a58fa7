import { describe, expect, it } from "vitest";
import type { NormalSpanAnswer } from "../../src/api/wire";
import { spanUsageOf } from "../../src/model/usage";

const answer = (more: Partial<NormalSpanAnswer>): NormalSpanAnswer => ({
  account: "default",
  trace_id: "t",
  id: "s",
  convention_version: 1,
  cost: null,
  prices: { date: "2026-08-01", source: "x" },
  normal: {},
  ...more,
});

describe("usage", () => {
  it("shows arithmetic that adds up, each token priced once", () => {
    const usage = spanUsageOf(
      answer({
        normal: {
          usage: {
            input_tokens: 620,
            output_tokens: 114,
            cache_read_tokens: 448,
            reported_total_tokens: 734,
            cache: { included: true, evidence: "total" },
          },
        },
        cost: {
          total: "0.00148",
          model: "gpt-4.1",
          lines: [
            { kind: "input", tokens: 172, dollars_per_million: "2", amount: "0.000344" },
            { kind: "cache_read", tokens: 448, dollars_per_million: "0.5", amount: "0.000224" },
            { kind: "output", tokens: 114, dollars_per_million: "8", amount: "0.000912" },
          ],
        },
      }),
    )!;
    expect(usage.inputTokens + usage.outputTokens).toBe(usage.totalTokens);
    const { lines, dollars } = usage.cost!;
    expect(lines.map((line) => line.label)).toEqual(["Input", "Read from cache", "Output"]);
    expect(lines.reduce((sum, line) => sum + line.tokens, 0)).toBe(734);
    expect(lines.reduce((sum, line) => sum + line.dollars, 0)).toBeCloseTo(dollars, 12);
    expect(usage.cache).toContain("counts cached tokens");
    expect(usage.reportedUsd).toBeNaN();
  });

  it("keeps what the producer reported apart from the price table", () => {
    const whole = spanUsageOf(answer({ normal: { reported_cost: { total: 0.5 } } }))!;
    expect([whole.reportedUsd, whole.cost, whole.inputTokens]).toEqual([0.5, null, Number.NaN]);
    const parts = spanUsageOf(answer({ normal: { reported_cost: { input: 0.25, output: 0.5 } } }))!;
    expect(parts.reportedUsd).toBe(0.75);
  });

  it("is none where nothing was used", () => {
    expect(spanUsageOf(answer({}))).toBeNull();
  });
});
