/**
 * The one place that knows the server's routes and the form of its answers. Everything else works with the
 * types of `model/`.
 */
import { type Kind, kindOf } from "../model/kinds";
import type { SpanRow, Status, TraceStructure, TraceSummary } from "../model/span";
import { parseMoment } from "../model/time";
import { capabilities } from "./capabilities";
import { ApiError, query, request } from "./http";
import type {
  ColumnsAnswer,
  SpanAnswer,
  StatsAnswer,
  TraceAnswer,
  TracePageAnswer,
  TraceSummaryAnswer,
} from "./wire";

/** What the traces list is narrowed to. Absent values do not narrow. */
export interface TraceFilter {
  /** Text that some span of the trace holds, payloads included. */
  text?: string;
  name?: string;
  agent?: string;
  status?: "ok" | "error" | "running" | "canceled";
  /** Only traces that began after this moment, as RFC 3339. */
  since?: string;
  until?: string;
  minDurationMs?: number;
  minTokens?: number;
}

export interface TracePage {
  traces: TraceSummary[];
  next: string | null;
}

const number = (value: number | null | undefined): number => value ?? Number.NaN;

function toSummary(answer: TraceSummaryAnswer): TraceSummary {
  return {
    account: answer.account,
    traceId: answer.trace_id,
    name: answer.name,
    agent: answer.agent ?? null,
    start: parseMoment(answer.start_time),
    end: parseMoment(answer.end_time),
    spanCount: answer.span_count,
    openCount: answer.open_count,
    errorCount: answer.error_count,
    status: (answer.status as Status | null) ?? null,
    inputTokens: number(answer.input_tokens),
    outputTokens: number(answer.output_tokens),
    costUsd: number(answer.cost_usd),
  };
}

export async function listTraces(
  filter: TraceFilter,
  after: string | null,
  limit: number,
  abort?: AbortSignal,
): Promise<TracePage> {
  // A server without payload search would ignore the text and answer everything: there it searches names.
  const payloads = filter.text ? (await capabilities()).searchTraces : false;
  const response = await request(
    `/api/traces${query({
      limit,
      after,
      text: payloads ? filter.text : null,
      name: filter.name ?? (payloads ? null : filter.text),
      agent: filter.agent,
      status: filter.status === "error" ? null : filter.status,
      has_error: filter.status === "error" ? true : null,
      start_after: filter.since,
      start_before: filter.until,
      min_duration_ms: filter.minDurationMs,
      min_tokens: filter.minTokens,
    })}`,
    { signal: abort },
  );
  const page = (await response.json()) as TracePageAnswer;
  return { traces: page.traces.map(toSummary), next: page.next ?? null };
}

/** One trace's spans without payloads. Two forms exist: columns, for size; and plain spans. */
export async function readStructure(
  traceId: string,
  account: string | null,
  abort?: AbortSignal,
): Promise<TraceStructure> {
  const path = `/api/traces/${encodeURIComponent(traceId)}`;
  const options = { signal: abort, headers: inAccount(account) };
  try {
    return fromColumns((await (await request(`${path}/structure`, options)).json()) as ColumnsAnswer);
  } catch (error) {
    // Servers before the columns answer with plain spans.
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
  return fromSpans((await (await request(`${path}?payloads=false`, options)).json()) as TraceAnswer);
}

function inAccount(account: string | null): Record<string, string> {
  return account === null ? {} : { "x-selected-account-id": account };
}

function fromSpans(answer: TraceAnswer): TraceStructure {
  let base = Number.POSITIVE_INFINITY;
  for (const span of answer.spans) base = Math.min(base, Math.floor(parseMoment(span.start_time)));
  let position = 0;
  for (const span of answer.spans) position = Math.max(position, span.position ?? 0);
  return {
    traceId: answer.trace_id,
    account: answer.spans[0]?.account ?? "",
    base,
    rows: answer.spans.map((span) => toRow(span, base)),
    position: position > 0 ? String(position) : null,
    omitted: 0,
  };
}

const STATUSES: (Status | null)[] = [null, "SUCCESS", "ERROR", "CANCELED"];

export function fromColumns(answer: ColumnsAnswer): TraceStructure {
  const { columns } = answer;
  const count = columns.id.length;
  const rows: SpanRow[] = new Array(count);
  const kinds = new Map<number, Kind>();
  for (let i = 0; i < count; i++) {
    const parent = columns.parent[i]!;
    const name = answer.names[columns.name[i]!]!;
    const typeIndex = columns.type[i]!;
    const type = typeIndex < 0 ? null : answer.types[typeIndex]!;
    // Looked up by place: making a key of two texts for each of 100,000 spans is what decoding would spend most on.
    const place = columns.name[i]! * (answer.types.length + 1) + typeIndex + 1;
    let kind = kinds.get(place);
    if (kind === undefined) {
      kind = kindOf(type, name);
      kinds.set(place, kind);
    }
    const start = columns.start[i]!;
    const duration = columns.duration[i];
    const model = columns.model?.[i] ?? -1;
    const error = columns.error?.[i] ?? -1;
    rows[i] = {
      id: columns.id[i]!,
      parentId:
        parent >= 0 ? columns.id[parent]! : parent === -1 ? null : answer.missing_parents[-2 - parent]!,
      name,
      type,
      kind,
      status: STATUSES[columns.status[i]!] ?? null,
      start,
      end: duration === null || duration === undefined ? Number.NaN : start + duration,
      inputTokens: number(columns.input_tokens?.[i]),
      outputTokens: number(columns.output_tokens?.[i]),
      cachedTokens: number(columns.cached_tokens?.[i]),
      costUsd: number(columns.cost_usd?.[i]),
      model: model < 0 ? null : answer.models![model]!,
      error: error < 0 ? null : answer.errors![error]!,
      missing: false,
    };
  }
  return {
    traceId: answer.trace_id,
    account: answer.account,
    base: answer.base_unix_micros,
    rows,
    position: String(answer.position),
    omitted: 0,
  };
}

/** A span of the live stream as a row of a trace whose times count from `base`. */
export function toRow(answer: SpanAnswer, base: number): SpanRow {
  const type = answer.type ?? null;
  return {
    id: answer.id,
    parentId: answer.parent_id ?? null,
    name: answer.name,
    type,
    kind: kindOf(type, answer.name),
    status: (answer.status as Status | null) ?? null,
    start: parseMoment(answer.start_time) - base,
    end: answer.end_time ? parseMoment(answer.end_time) - base : Number.NaN,
    inputTokens: number(answer.input_tokens),
    outputTokens: number(answer.output_tokens),
    cachedTokens: number(answer.cached_tokens),
    costUsd: number(answer.cost_usd),
    model: answer.model ?? null,
    error: answer.error ?? null,
    missing: false,
  };
}

/** The whole span as the text of its JSON: numbers and key order as they were sent. */
export async function readSpanText(traceId: string, id: string, account: string | null, abort?: AbortSignal) {
  const path = `/api/spans/${encodeURIComponent(traceId)}/${encodeURIComponent(id)}`;
  return (await request(path, { signal: abort, headers: inAccount(account) })).text();
}

/** A whole trace with its payloads, to be saved. */
export async function readTraceBlob(traceId: string, account: string | null): Promise<Blob> {
  const path = `/api/traces/${encodeURIComponent(traceId)}?payloads=true`;
  return (await request(path, { headers: inAccount(account) })).blob();
}

/** Ids of the spans of a trace whose payloads or names hold the text. */
export async function searchTrace(
  traceId: string,
  account: string | null,
  text: string,
  abort?: AbortSignal,
) {
  if (!(await capabilities()).searchTrace) return [];
  const path = `/api/traces/${encodeURIComponent(traceId)}/search${query({ text })}`;
  const options = { signal: abort, headers: inAccount(account) };
  const answer = (await (await request(path, options)).json()) as { ids: string[] };
  return answer.ids;
}

export async function readStats(abort?: AbortSignal): Promise<StatsAnswer> {
  return (await request("/api/stats", { signal: abort })).json() as Promise<StatsAnswer>;
}

export async function readInfo(): Promise<Record<string, unknown>> {
  return (await request("/api/info")).json() as Promise<Record<string, unknown>>;
}
