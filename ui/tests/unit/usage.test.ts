import { describe, expect, it } from "vitest";
import { estimateCost, findUsage, priceOf, readUsage } from "../../src/model/usage";

describe("usage", () => {
  it("reads OpenAI's, where cached tokens are part of the input", () => {
    const usage = readUsage(
      {
        prompt_tokens: 1000,
        completion_tokens: 50,
        total_tokens: 1050,
        prompt_tokens_details: { cached_tokens: 600 },
        completion_tokens_details: { reasoning_tokens: 20 },
      },
      "output.usage",
    )!;
    expect([usage.inputTokens, usage.cacheReadTokens, usage.reasoningTokens, usage.cacheAdded]).toEqual([
      1000,
      600,
      20,
      false,
    ]);
  });

  it("reads Anthropic's, where they stand beside it", () => {
    const usage = readUsage(
      { input_tokens: 100, cache_read_input_tokens: 700, cache_creation_input_tokens: 200, output_tokens: 5 },
      "x",
    )!;
    expect([usage.inputTokens, usage.cacheReadTokens, usage.cacheWriteTokens, usage.cacheAdded]).toEqual([
      1000,
      700,
      200,
      true,
    ]);
  });

  it("reads conventions from attributes, and cost from beside the usage", () => {
    const usage = findUsage(
      null,
      { usage: { input_tokens: 7, output_tokens: 1 } },
      { cost_usd: 0.25 },
      { "gen_ai.usage.input_tokens": 99 },
    )!;
    expect([usage.inputTokens, usage.costUsd, usage.source]).toEqual([7, 0.25, "output.usage"]);
    expect(findUsage(null, null, null, { "llm.token_count.prompt": 3 })!.inputTokens).toBe(3);
    expect(findUsage({ a: 1 }, null, null, {})).toBeNull();
  });

  it("shows arithmetic that adds up, each token priced once", () => {
    const usage = readUsage(
      {
        input_tokens: 100,
        cache_read_input_tokens: 700,
        cache_creation_input_tokens: 200,
        output_tokens: 1000,
      },
      "x",
    )!;
    const cost = estimateCost(usage, "claude-sonnet-4-5-20250929")!;
    expect(cost.lines.map((line) => [line.label, line.tokens])).toEqual([
      ["input", 100],
      ["cache read", 700],
      ["cache write", 200],
      ["output", 1000],
    ]);
    expect(cost.dollars).toBeCloseTo((100 * 3 + 700 * 0.3 + 200 * 3.75 + 1000 * 15) / 1e6, 12);
  });

  it("has no price for a model that it does not know", () => {
    expect(priceOf("gpt-5o")).toBeNull();
    expect(priceOf("llama-3.3-70b")).toBeNull();
    expect(priceOf("openai/gpt-4o-mini-2024-07-18")!.input).toBe(0.15);
    expect(priceOf("gpt-4o-2024-11-20")!.input).toBe(2.5);
  });
});
