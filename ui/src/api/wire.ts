/**
 * The answers of the server's read API: generated from its `/openapi.json`, with the fields that the pages show
 * as soon as a server sends them.
 */
import type { components } from "./schema";

type Schemas = components["schemas"];

/** What models consumed, where the server reads it out of payloads. */
interface UsageFields {
  input_tokens?: number | null;
  output_tokens?: number | null;
  cached_tokens?: number | null;
  cost_usd?: number | null;
}

export type TraceSummaryAnswer = Schemas["ReadTrace"] & UsageFields & { agent?: string | null };

export interface TracePageAnswer {
  traces: TraceSummaryAnswer[];
  next?: string | null;
}

type Column<T> = (T | null)[];

/** A trace's structure by columns: entry `i` of every column belongs to span `i`. */
export type ColumnsAnswer = Omit<Schemas["TraceStructure"], "columns"> & {
  /** What `model` and `error` point into. */
  models?: string[];
  errors?: string[];
  columns: Schemas["StructureColumns"] & {
    input_tokens?: Column<number>;
    output_tokens?: Column<number>;
    cached_tokens?: Column<number>;
    cost_usd?: Column<number>;
    model?: number[];
    error?: number[];
  };
};

/** A span, with or without its payloads. */
export type SpanAnswer = Omit<Schemas["ReadSpan"], "input" | "output" | "metadata" | "expected" | "otel"> &
  UsageFields & { model?: string | null; error?: string | null };

/** A whole trace, span by span. */
export interface TraceAnswer {
  trace_id: string;
  spans: SpanAnswer[];
}

export interface ClientAnswer {
  name: string;
  version?: string | null;
  last_seen: string;
  delivered: number;
  /** By reason. */
  dropped: Record<string, number>;
}

export type StatsAnswer = Schemas["Stats"] & {
  retention?: { max_age_seconds?: number | null; max_bytes?: number | null } | null;
  clients?: ClientAnswer[];
};
