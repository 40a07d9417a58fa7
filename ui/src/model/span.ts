import type { Kind } from "./kinds";

export type Status = "SUCCESS" | "ERROR" | "CANCELED";

/** One span without its payloads: what the tree and the timeline are made of. */
export interface SpanRow {
  id: string;
  /** Null for a root. The parent need not be in the trace. */
  parentId: string | null;
  name: string;
  type: string | null;
  kind: Kind;
  status: Status | null;
  /** Microseconds since the trace's base. */
  start: number;
  /** Microseconds since the trace's base; NaN while the span runs. */
  end: number;
  /** NaN where the producer reported none, as in the three fields below. */
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  costUsd: number;
  model: string | null;
  /** The error's message or type, cut short by the server. */
  error: string | null;
  /** True for a row that stands for a parent that never arrived. */
  missing: boolean;
}

/** The structure of one trace. */
export interface TraceStructure {
  traceId: string;
  account: string;
  /** Microseconds since the Unix epoch that every row's times count from. */
  base: number;
  rows: SpanRow[];
  /** The store's position that this answer reflects: the live view goes on from here. */
  position: string | null;
  /** How many spans the server left out, should it ever do so. */
  omitted: number;
}

/** One line of the traces list. */
export interface TraceSummary {
  account: string;
  traceId: string;
  name: string;
  agent: string | null;
  /** Microseconds since the Unix epoch. */
  start: number;
  /** NaN while no span has ended. */
  end: number;
  spanCount: number;
  openCount: number;
  errorCount: number;
  status: Status | null;
  inputTokens: number;
  outputTokens: number;
  costUsd: number;
}

/** True while some span of the trace has not ended. */
export function isRunning(summary: TraceSummary): boolean {
  return summary.openCount > 0;
}
