/** The answers of the server's read API, generated from its `/openapi.json`. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type TraceSummaryAnswer = Schemas["ReadTrace"];
export type TracePageAnswer = Schemas["TracesPage"];
/** A trace's structure by columns: entry `i` of every column belongs to span `i`. */
export type ColumnsAnswer = Schemas["TraceStructure"];
/** A span of the live stream, without its payloads. */
export type SpanAnswer = Omit<Schemas["ReadSpan"], "input" | "output" | "metadata" | "expected" | "otel">;
export type AssessmentAnswer = Schemas["SpanAssessment"];
export type NormalSpanAnswer = Schemas["NormalSpan"];
export type NormalAnswer = Schemas["Normal"];
export type UsageAnswer = Schemas["Usage"];
export type CostAnswer = Schemas["Cost"];
export type TraceUsageAnswer = Schemas["TraceUsage"];

export type StatsAnswer = Schemas["Stats"];
export type InfoAnswer = Schemas["Info"];
export type AccountAnswer = Schemas["AccountFigures"];
