/** What a model call consumed, with the convention by which its numbers are to be read. */
export interface Usage {
  /** All input tokens, cached ones included. */
  inputTokens: number;
  outputTokens: number;
  /** Input tokens read from a cache. Part of `inputTokens`. */
  cacheReadTokens: number;
  /** Input tokens written to a cache. Part of `inputTokens`. */
  cacheWriteTokens: number;
  /** Output tokens spent on reasoning. Part of `outputTokens`. */
  reasoningTokens: number;
  /** As the producer wrote it; NaN when it did not. */
  totalTokens: number;
  costUsd: number;
  /** Where the numbers were found: `output.usage`. */
  source: string;
  /** True when the producer counts cached tokens beside the input tokens and they were added here. */
  cacheAdded: boolean;
}

type Json = unknown;
type JsonObject = Record<string, Json>;

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function first(from: JsonObject, ...keys: string[]): number {
  for (const key of keys) {
    let value: Json = from;
    for (const part of key.split("/")) value = isObject(value) ? value[part] : undefined;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    if (typeof value === "string" && value !== "" && Number.isFinite(Number(value))) return Number(value);
  }
  return Number.NaN;
}

/**
 * Reads usage from one map of counts. Knows the names of OpenAI (chat and responses), Anthropic, Gemini, the
 * gen_ai conventions old and new, OpenInference and the Agentex harness.
 */
export function readUsage(map: Json, source: string): Usage | null {
  if (!isObject(map)) return null;
  let input = first(
    map,
    "input_tokens",
    "prompt_tokens",
    "inputTokens",
    "promptTokenCount",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
  );
  const output = first(
    map,
    "output_tokens",
    "completion_tokens",
    "outputTokens",
    "candidatesTokenCount",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
  );
  const anthropicRead = first(map, "cache_read_input_tokens");
  const anthropicWrite = first(map, "cache_creation_input_tokens");
  const read = first(
    map,
    "cached_input_tokens",
    "cached_tokens",
    "prompt_tokens_details/cached_tokens",
    "input_tokens_details/cached_tokens",
    "cachedContentTokenCount",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
  );
  const write = first(
    map,
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
  );
  const reasoning = first(
    map,
    "reasoning_tokens",
    "completion_tokens_details/reasoning_tokens",
    "output_tokens_details/reasoning_tokens",
    "thoughtsTokenCount",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
  );
  const cost = first(map, "cost_usd", "total_cost", "cost", "gen_ai.usage.cost", "llm.cost.total");
  const total = first(
    map,
    "total_tokens",
    "totalTokenCount",
    "gen_ai.usage.total_tokens",
    "llm.token_count.total",
  );
  if (Number.isNaN(input) && Number.isNaN(output) && Number.isNaN(cost) && Number.isNaN(total)) return null;
  // Anthropic's names mean: input_tokens holds only what no cache served. Everybody else includes it.
  const cacheAdded = anthropicRead > 0 || anthropicWrite > 0;
  if (cacheAdded) input = (input || 0) + (anthropicRead || 0) + (anthropicWrite || 0);
  return {
    inputTokens: input,
    outputTokens: output,
    cacheReadTokens: cacheAdded ? anthropicRead || 0 : read || 0,
    cacheWriteTokens: cacheAdded ? anthropicWrite || 0 : write || 0,
    reasoningTokens: reasoning || 0,
    totalTokens: total,
    costUsd: cost,
    source,
    cacheAdded,
  };
}

/** Looks for usage where producers put it. The first place that has any wins; a cost may come from another. */
export function findUsage(input: Json, output: Json, metadata: Json, attributes: Json): Usage | null {
  const of = (value: Json, key: string): Json => (isObject(value) ? value[key] : undefined);
  const places: [Json, string][] = [
    [of(output, "usage"), "output.usage"],
    [of(output, "usageMetadata"), "output.usageMetadata"],
    [of(of(output, "response"), "usage"), "output.response.usage"],
    [of(metadata, "usage"), "metadata.usage"],
    [of(metadata, "token_usage"), "metadata.token_usage"],
    [attributes, "attributes"],
    [metadata, "metadata"],
    [of(input, "usage"), "input.usage"],
  ];
  let found: Usage | null = null;
  for (const [map, source] of places) {
    const usage = readUsage(map, source);
    if (!usage) continue;
    if (!found) found = usage;
    else if (Number.isNaN(found.costUsd)) found.costUsd = usage.costUsd;
  }
  return found;
}

/** List prices in US dollars for a million tokens. */
export interface Price {
  input: number;
  cacheRead: number;
  cacheWrite: number;
  output: number;
}

export const PRICES_AS_OF = "2025-10";

/**
 * Public list prices, longest prefix first. Only an estimate where the producer reported no cost, and marked
 * as one; reported cost always wins.
 */
const PRICES: [prefix: string, input: number, cacheRead: number, cacheWrite: number, output: number][] = [
  ["gpt-4o-mini", 0.15, 0.075, 0.15, 0.6],
  ["gpt-4o", 2.5, 1.25, 2.5, 10],
  ["gpt-4.1-nano", 0.1, 0.025, 0.1, 0.4],
  ["gpt-4.1-mini", 0.4, 0.1, 0.4, 1.6],
  ["gpt-4.1", 2, 0.5, 2, 8],
  ["gpt-5-nano", 0.05, 0.005, 0.05, 0.4],
  ["gpt-5-mini", 0.25, 0.025, 0.25, 2],
  ["gpt-5", 1.25, 0.125, 1.25, 10],
  ["o3", 2, 0.5, 2, 8],
  ["o4-mini", 1.1, 0.275, 1.1, 4.4],
  ["claude-opus-4", 15, 1.5, 18.75, 75],
  ["claude-sonnet-4", 3, 0.3, 3.75, 15],
  ["claude-3-7-sonnet", 3, 0.3, 3.75, 15],
  ["claude-3-5-sonnet", 3, 0.3, 3.75, 15],
  ["claude-haiku-4-5", 1, 0.1, 1.25, 5],
  ["claude-3-5-haiku", 0.8, 0.08, 1, 4],
  ["gemini-2.5-pro", 1.25, 0.31, 1.25, 10],
  ["gemini-2.5-flash", 0.3, 0.075, 0.3, 2.5],
];

export function priceOf(model: string | null): Price | null {
  if (!model) return null;
  const name = model.toLowerCase().replace(/^.*\//, "");
  for (const [prefix, input, cacheRead, cacheWrite, output] of PRICES) {
    // A name that goes on with a letter is another model: `gpt-5` says nothing about `gpt-5o`.
    if (name.startsWith(prefix) && !/^[a-z]/.test(name.slice(prefix.length))) {
      return { input, cacheRead, cacheWrite, output };
    }
  }
  return null;
}

/** One line of the arithmetic: `1,200 × $2.50 / 1M = $0.003`. */
export interface CostLine {
  label: string;
  tokens: number;
  perMillion: number;
  dollars: number;
}

/** The arithmetic of a call's list price, or null for a model without one. */
export function estimateCost(
  usage: Usage,
  model: string | null,
): { lines: CostLine[]; dollars: number } | null {
  const price = priceOf(model);
  if (!price) return null;
  const plain = Math.max(0, (usage.inputTokens || 0) - usage.cacheReadTokens - usage.cacheWriteTokens);
  const lines: CostLine[] = [];
  const add = (label: string, tokens: number, perMillion: number) => {
    if (tokens > 0) lines.push({ label, tokens, perMillion, dollars: (tokens * perMillion) / 1e6 });
  };
  add("input", plain, price.input);
  add("cache read", usage.cacheReadTokens, price.cacheRead);
  add("cache write", usage.cacheWriteTokens, price.cacheWrite);
  add("output", usage.outputTokens || 0, price.output);
  return { lines, dollars: lines.reduce((sum, line) => sum + line.dollars, 0) };
}
