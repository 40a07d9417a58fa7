import { request } from "./http";

/** What this server offers beyond the basics. Asked once, when first of use. */
export interface Capabilities {
  /** `GET /api/traces` takes `text`: words within payloads. */
  searchTraces: boolean;
  /** `GET /api/traces/{trace_id}/search` finds spans of a trace by text. */
  searchTrace: boolean;
}

interface Document {
  paths?: Record<string, { get?: { parameters?: { name?: string }[] } } | undefined>;
}

let asked: Promise<Capabilities> | null = null;

/** Reads the server's own description, so that a search is never sent to a server that would ignore it. */
export function capabilities(): Promise<Capabilities> {
  asked ??= read();
  asked.catch(() => {
    asked = null;
  });
  return asked;
}

async function read(): Promise<Capabilities> {
  const { paths } = (await (await request("/openapi.json")).json()) as Document;
  const parameters = paths?.["/api/traces"]?.get?.parameters ?? [];
  return {
    searchTraces: parameters.some((parameter) => parameter.name === "text"),
    searchTrace: paths?.["/api/traces/{trace_id}/search"] !== undefined,
  };
}
