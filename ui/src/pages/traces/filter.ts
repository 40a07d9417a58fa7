import type { TraceFilter } from "../../api/client";

/** Traces that are read at a time. */
export const PAGE = 100;

export const PERIODS: [string, string, number][] = [
  ["15m", "Last 15 minutes", 900],
  ["1h", "Last hour", 3600],
  ["24h", "Last 24 hours", 86_400],
  ["7d", "Last 7 days", 604_800],
  ["30d", "Last 30 days", 2_592_000],
];

/** Reads the address: what the list is narrowed to. */
export function filterOf(search: URLSearchParams): TraceFilter {
  const period = PERIODS.find(([value]) => value === search.get("period"));
  const status = search.get("status");
  const count = (name: string) => {
    const value = Number(search.get(name));
    return value > 0 ? value : undefined;
  };
  return {
    text: search.get("q") ?? undefined,
    name: search.get("name") ?? undefined,
    agent: search.get("agent") ?? undefined,
    status:
      status === "ok" || status === "error" || status === "running" || status === "canceled"
        ? status
        : undefined,
    since: period ? new Date(Date.now() - period[2] * 1000).toISOString() : undefined,
    minDurationMs: count("min_ms"),
    minTokens: count("min_tokens"),
    assessment: search.get("assessment") ?? undefined,
  };
}

/** The names of the address that narrow the list. */
export const FILTERS = ["q", "name", "agent", "status", "period", "min_ms", "min_tokens", "assessment"];

export function isTracesPath(path: string): boolean {
  return path === "/" || path === "/index.html" || path === "/traces";
}
