/**
 * The one place that knows the server's routes and the form of its answers. Everything else works with the
 * types of `model/`.
 */
import { type Kind, kindOf } from "../model/kinds";
import type { SpanRow, Status, TraceStructure, TraceSummary } from "../model/span";
import { parseMoment } from "../model/time";
import { query, request } from "./http";
import type {
  AccountAnswer,
  ColumnsAnswer,
  InfoAnswer,
  NormalSpanAnswer,
  SpanAnswer,
  StatsAnswer,
  TracePageAnswer,
  TraceSummaryAnswer,
  TraceUsageAnswer,
} from "./wire";

/** What the traces list is narrowed to. Absent values do not narrow. */
export interface TraceFilter {
  /** Text that some span of the trace holds, payloads included: words, and phrases in quotes. */
  text?: string;
  name?: string;
  agent?: string;
  status?: "ok" | "error" | "running" | "canceled";
  /** Only traces that began after this moment, as RFC 3339. */
  since?: string;
  until?: string;
  minDurationMs?: number;
  minTokens?: number;
  /** What some span was said to be: a type of assessment, `approval:rejected`, `rating:<3`. */
  assessment?: string;
}

export interface TracePage {
  traces: TraceSummary[];
  next: string | null;
  /** True when looking for text took long: the page holds what was found so far. */
  partial: boolean;
}

const number = (value: number | null | undefined): number => value ?? Number.NaN;
const dollars = (picodollars: number | null | undefined): number => (picodollars ?? Number.NaN) / 1e12;

/** What the server takes: at most ten terms of two characters or more. */
const MOST_TERMS = 10;

/** The terms of a search box: words, and in quotes what stands together. */
export function termsOf(text: string): string[] {
  const terms = (text.match(/"[^"]*"|[^\s"]+/g) ?? []).map((term) => term.replace(/"/g, "").trim());
  return terms.filter((term) => term.length >= 2).slice(0, MOST_TERMS);
}

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
    costUsd: dollars(answer.cost_picodollars),
  };
}

export async function listTraces(
  filter: TraceFilter,
  after: string | null,
  limit: number,
  abort?: AbortSignal,
): Promise<TracePage> {
  const response = await request(
    `/api/traces${query({
      limit,
      after,
      text: termsOf(filter.text ?? ""),
      name: filter.name,
      agent: filter.agent,
      status: filter.status === "error" ? null : filter.status,
      has_error: filter.status === "error" ? true : null,
      start_after: filter.since,
      start_before: filter.until,
      min_duration_ms: filter.minDurationMs,
      min_tokens: filter.minTokens,
      assessment: filter.assessment,
    })}`,
    { signal: abort },
  );
  const page = (await response.json()) as TracePageAnswer;
  return { traces: page.traces.map(toSummary), next: page.next ?? null, partial: page.partial };
}

/** A trace without payloads. */
export async function readStructure(
  traceId: string,
  account: string | null,
  abort?: AbortSignal,
): Promise<TraceStructure> {
  const path = `/api/traces/${encodeURIComponent(traceId)}/structure`;
  const response = await request(path, { signal: abort, headers: inAccount(account) });
  return fromColumns((await response.json()) as ColumnsAnswer);
}

function inAccount(account: string | null): Record<string, string> {
  return account === null ? {} : { "x-selected-account-id": account };
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
      costUsd: dollars(columns.cost_picodollars?.[i]),
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
    costUsd: dollars(answer.cost_picodollars),
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

/** What is said of a span: `approval`, `rating` or nothing but words, and what is said beside it. */
export interface Verdict {
  approval?: "approved" | "rejected";
  rating?: number;
  comment?: string;
}

/** Says what a span is worth. */
export async function assess(traceId: string, id: string, account: string | null, verdict: Verdict) {
  const type = verdict.approval ? "approval" : verdict.rating ? "rating" : "comment";
  await request("/v5/span-assessments", {
    method: "POST",
    headers: { ...inAccount(account), "content-type": "application/json" },
    body: JSON.stringify({ assessment_type: type, trace_id: traceId, span_id: id, ...verdict }),
  });
}

/** What the span means, whatever convention it was written in. */
export async function readNormal(
  traceId: string,
  id: string,
  account: string | null,
  abort?: AbortSignal,
): Promise<NormalSpanAnswer> {
  const path = `/api/spans/${encodeURIComponent(traceId)}/${encodeURIComponent(id)}/normal`;
  const response = await request(path, { signal: abort, headers: inAccount(account) });
  return response.json() as Promise<NormalSpanAnswer>;
}

/** What the trace used and cost, counted once, with the arithmetic. */
export async function readUsage(
  traceId: string,
  account: string | null,
  abort?: AbortSignal,
): Promise<TraceUsageAnswer> {
  const path = `/api/traces/${encodeURIComponent(traceId)}/usage?arithmetic=true`;
  const response = await request(path, { signal: abort, headers: inAccount(account) });
  return response.json() as Promise<TraceUsageAnswer>;
}

/** A whole trace with its payloads, to be saved. */
export async function readTraceBlob(traceId: string, account: string | null): Promise<Blob> {
  const path = `/api/traces/${encodeURIComponent(traceId)}?payloads=true`;
  return (await request(path, { headers: inAccount(account) })).blob();
}

/** Deletes a trace with everything in it, piece by piece; returns how many spans it had. */
export async function deleteTrace(traceId: string, account: string | null): Promise<number> {
  const path = `/api/traces/${encodeURIComponent(traceId)}`;
  let spans = 0;
  for (;;) {
    const response = await request(path, { method: "DELETE", headers: inAccount(account) });
    const piece = (await response.json()) as { spans: number; more: boolean };
    spans += piece.spans;
    if (!piece.more) return spans;
  }
}

/** Ids of the spans of a trace that hold the text. */
export async function searchTrace(
  traceId: string,
  account: string | null,
  text: string,
  abort?: AbortSignal,
): Promise<{ ids: string[]; partial: boolean }> {
  const path = `/api/traces/${encodeURIComponent(traceId)}/search${query({ text: termsOf(text) })}`;
  const options = { signal: abort, headers: inAccount(account) };
  return (await request(path, options)).json() as Promise<{ ids: string[]; partial: boolean }>;
}

export async function readStats(abort?: AbortSignal): Promise<StatsAnswer> {
  return (await request("/api/stats", { signal: abort })).json() as Promise<StatsAnswer>;
}

export async function readInfo(): Promise<InfoAnswer> {
  return (await request("/api/info")).json() as Promise<InfoAnswer>;
}

/** The accounts that the key may read, or all while the server asks for none. */
export async function readAccounts(): Promise<AccountAnswer[]> {
  const answer = (await (await request("/api/accounts")).json()) as { accounts: AccountAnswer[] };
  return answer.accounts;
}
