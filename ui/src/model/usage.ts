import type { CostAnswer, NormalSpanAnswer, UsageAnswer } from "../api/wire";

/** One line of a calculation: tokens of one kind at one price. */
export interface CostLine {
  label: string;
  tokens: number;
  dollarsPerMillion: string;
  dollars: number;
}

/** What tokens cost by the server's price table. */
export interface Cost {
  dollars: number;
  lines: CostLine[];
  /** The name under which the table has the model. */
  model: string;
}

/** What a span consumed, counted one way whatever way it was reported. NaN where nothing was. */
export interface Usage {
  /** All input tokens, cached ones included. */
  inputTokens: number;
  outputTokens: number;
  /** Of the input: read from a cache, written to a cache. */
  cacheReadTokens: number;
  cacheWriteTokens: number;
  /** Of the output. */
  reasoningTokens: number;
  /** As the producer wrote it. */
  totalTokens: number;
  /** How cached tokens were counted, in words; null when no cache was used. */
  cache: string | null;
}

/** Usage of one span with its money. */
export interface SpanUsage extends Usage {
  cost: Cost | null;
  /** What the producer says that it cost. */
  reportedUsd: number;
  pricesOf: string;
}

const KINDS: Record<string, string> = {
  input: "Input",
  cache_read: "Read from cache",
  cache_write: "Written to cache",
  output: "Output",
};

const EVIDENCE: Record<string, string> = {
  cache_exceeds_input: "more cached than input tokens were reported",
  total: "the reported total adds up in this way only",
  convention: "the convention that it was written in says so",
};

export function usageOf(usage: UsageAnswer): Usage {
  const { cache } = usage;
  return {
    inputTokens: usage.input_tokens ?? Number.NaN,
    outputTokens: usage.output_tokens ?? Number.NaN,
    cacheReadTokens: usage.cache_read_tokens ?? 0,
    cacheWriteTokens: usage.cache_write_tokens ?? 0,
    reasoningTokens: usage.reasoning_tokens ?? 0,
    totalTokens: usage.reported_total_tokens ?? Number.NaN,
    cache: cache
      ? `The reported input ${cache.included ? "counts cached tokens" : "does not count cached tokens; they are added here"}: ${EVIDENCE[cache.evidence] ?? cache.evidence}.`
      : null,
  };
}

export function costLine(line: NonNullable<CostAnswer["lines"]>[number]): CostLine {
  return {
    label: KINDS[line.kind] ?? line.kind,
    tokens: line.tokens,
    dollarsPerMillion: line.dollars_per_million,
    dollars: Number(line.amount),
  };
}

/** What a span's normal form says of tokens and money; null when it says nothing. */
export function spanUsageOf(answer: NormalSpanAnswer): SpanUsage | null {
  const { usage, reported_cost: reported } = answer.normal;
  const total = reported?.total ?? (reported ? (reported.input ?? 0) + (reported.output ?? 0) : Number.NaN);
  if (!usage && !(total >= 0)) return null;
  const cost = answer.cost;
  return {
    ...usageOf(usage ?? {}),
    cost: cost
      ? { dollars: Number(cost.total), lines: (cost.lines ?? []).map(costLine), model: cost.model }
      : null,
    reportedUsd: total,
    pricesOf: answer.prices.date,
  };
}
