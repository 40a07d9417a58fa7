import type { TraceUsageAnswer } from "../api/wire";
import { type CostLine, costLine, type Usage, usageOf } from "./usage";

/** What one model was used for. */
export interface ModelUse {
  model: string | null;
  calls: number;
  usage: Usage;
  dollars: number;
  lines: CostLine[];
  /** Calls whose model has no price. */
  unpriced: number;
}

/** What a trace used and cost by the server's price table, each call counted once. */
export interface Ledger {
  usage: Usage;
  dollars: number;
  models: ModelUse[];
  calls: number;
  unpriced: number;
  /** Spans that repeat what was counted below them. */
  rollups: { span: string; agrees: boolean; tokens: number; counted: number }[];
  /** Spans that report a call again that was counted already. */
  duplicates: number;
  pricesOf: string;
  pricesFrom: string;
}

const together = (usage: Usage) => (usage.inputTokens || 0) + (usage.outputTokens || 0);

export function ledgerOf(answer: TraceUsageAnswer): Ledger {
  return {
    usage: usageOf(answer.usage),
    dollars: Number(answer.cost),
    models: answer.models.map((model) => ({
      model: model.model ?? null,
      calls: model.calls,
      usage: usageOf(model.usage),
      dollars: Number(model.cost),
      lines: (model.lines ?? []).map(costLine),
      unpriced: model.unpriced ?? 0,
    })),
    calls: answer.counted.length,
    unpriced: answer.unpriced,
    rollups: answer.rollups.map((rollup) => ({
      span: rollup.span_id,
      agrees: rollup.agrees,
      tokens: together(usageOf(rollup.reported)),
      counted: together(usageOf(rollup.counted)),
    })),
    duplicates: answer.duplicates.length,
    pricesOf: answer.prices.date,
    pricesFrom: answer.prices.source,
  };
}
