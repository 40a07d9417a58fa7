/** A small stand-in for the span server: same routes, generated traces, live stream. For development and tests. */
import { createReadStream, existsSync, statSync } from "node:fs";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { extname, join, normalize } from "node:path";
import { createGzip, gzipSync } from "node:zlib";
import { type MockSpan, makeTrace } from "./generate";

/** The policy that the real server sends; held here too, so that tests run under it. */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".md": "text/plain; charset=utf-8",
};

export class MockServer {
  readonly traces = new Map<string, MockSpan[]>();
  private readonly tails = new Set<{ response: ServerResponse; traceId: string | null }>();
  private position = 0;
  private server: Server | null = null;
  private readonly counts = {
    received: 6,
    stored: 0,
    superseded: 3,
    rejected: { malformed: 2, too_large: 1 } as Record<string, number>,
  };
  private readonly startedAt = Date.now();

  constructor(private readonly options: { dist?: string; key?: string; upstream?: string } = {}) {}

  add(spans: MockSpan[]): void {
    this.traces.set(spans[0]!.trace_id, spans);
    this.counts.received += spans.length;
    this.counts.stored += spans.length;
    this.position += spans.length;
  }

  /** Writes a span and tells everybody who follows. */
  upsert(span: MockSpan): void {
    const spans = this.traces.get(span.trace_id);
    if (!spans) this.traces.set(span.trace_id, [span]);
    else {
      const at = spans.findIndex((other) => other.id === span.id);
      if (at === -1) spans.push(span);
      else spans[at] = span;
    }
    this.counts.received++;
    this.counts.stored++;
    this.position++;
    const text = `id: ${this.position}\nevent: span\ndata: ${JSON.stringify(toJson(span, false))}\n\n`;
    for (const tail of this.tails) {
      if (tail.traceId === null || tail.traceId === span.trace_id) tail.response.write(text);
    }
  }

  listen(port = 0): Promise<string> {
    this.server = createServer((request, response) => this.answer(request, response));
    return new Promise((resolve) => {
      this.server!.listen(port, "127.0.0.1", () => {
        const address = this.server!.address() as { port: number };
        resolve(`http://127.0.0.1:${address.port}`);
      });
    });
  }

  close(): Promise<void> {
    for (const tail of this.tails) tail.response.end();
    this.server?.closeAllConnections();
    return new Promise((resolve) => this.server?.close(() => resolve()) ?? resolve());
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url!, "http://mock");
    const path = url.pathname;
    if (path === "/openapi.json" && !this.options.upstream) {
      const parameters = [{ name: "text" }];
      return json(request, response, {
        paths: { "/api/traces": { get: { parameters } }, "/api/traces/{trace_id}/search": {} },
      });
    }
    if (!path.startsWith("/api/") && path !== "/openapi.json") return this.file(path, response);
    if (this.options.upstream) return forward(this.options.upstream, request, response);
    if (this.options.key && request.headers["x-api-key"] !== this.options.key) {
      return json(request, response, { message: "an API key is needed" }, 401);
    }
    const parts = path.split("/").slice(2).map(decodeURIComponent);
    if (path === "/api/traces") return json(request, response, this.list(url.searchParams));
    if (path === "/api/stats") return json(request, response, this.stats());
    if (path === "/api/info")
      return json(request, response, { version: "0.1.0", keys: this.options.key !== undefined });
    if (path === "/api/tail") return this.tail(url, response);
    if (parts[0] === "traces") {
      const spans = this.traces.get(parts[1]!);
      if (!spans) return json(request, response, { message: `trace '${parts[1]}' does not exist` }, 404);
      if (parts[2] === "structure") return json(request, response, columns(spans, this.position));
      if (parts[2] === "search") {
        const text = (url.searchParams.get("text") ?? "").toLowerCase();
        const ids = spans
          .filter((span) => JSON.stringify(span).toLowerCase().includes(text))
          .map((span) => span.id);
        return json(request, response, { ids });
      }
      const payloads = url.searchParams.get("payloads") === "true";
      return json(request, response, {
        trace_id: parts[1],
        spans: spans.map((span) => toJson(span, payloads)),
      });
    }
    if (parts[0] === "spans") {
      const span = this.traces.get(parts[1]!)?.find((other) => other.id === parts[2]);
      if (span) return json(request, response, toJson(span, true));
    }
    json(request, response, { message: "no such thing" }, 404);
  }

  private list(search: URLSearchParams): unknown {
    const limit = Number(search.get("limit") ?? 50);
    const text = search.get("text")?.toLowerCase();
    const status = search.get("status");
    const agent = search.get("agent");
    const name = search.get("name")?.toLowerCase();
    const since = search.get("start_after");
    const minDuration = Number(search.get("min_duration_ms") ?? 0) * 1000;
    const minTokens = Number(search.get("min_tokens") ?? 0);
    const all = [...this.traces.values()]
      .map((spans) => ({ spans, summary: summarise(spans) }))
      .filter(({ spans, summary }) => {
        if (text && !spans.some((span) => JSON.stringify(span).toLowerCase().includes(text))) return false;
        if (search.get("has_error") === "true" && summary.error_count === 0) return false;
        if (status === "running" && summary.open_count === 0) return false;
        if (status === "ok" && (summary.error_count > 0 || summary.open_count > 0)) return false;
        if (agent && summary.agent !== agent) return false;
        if (name && !summary.name.toLowerCase().includes(name)) return false;
        if (since && summary.start_time < since) return false;
        if (minTokens && summary.input_tokens + summary.output_tokens < minTokens) return false;
        return !(minDuration && (summary.duration ?? 0) < minDuration);
      })
      .sort((a, b) => (a.summary.start_time < b.summary.start_time ? 1 : -1));
    const from = Number(search.get("after") ?? 0);
    const page = all.slice(from, from + limit).map(({ summary }) => summary);
    return { traces: page, next: from + limit < all.length ? String(from + limit) : null };
  }

  private stats(): unknown {
    let spans = 0;
    for (const trace of this.traces.values()) spans += trace.length;
    return {
      engine: "embedded",
      schema_version: 1,
      spans,
      traces: this.traces.size,
      disk_bytes: 48_000_000 + spans * 900,
      raw_payload_bytes: spans * 6200,
      stored_payload_bytes: spans * 800,
      superseded_payload_bytes: 120_000,
      ingest: [
        { protocol: "agentex", received: 0, stored: 0, superseded: 0, unacknowledged: 0, rejected: {} },
        { protocol: "sgp", unacknowledged: 0, ...this.counts },
      ],
      retention: { max_age_seconds: 30 * 86_400, max_bytes: 20_000_000_000 },
      clients: [
        {
          name: "endspan-python",
          version: "0.1.0",
          last_seen: new Date(Date.now() - 900).toISOString(),
          delivered: 18_204,
          dropped: {},
        },
        {
          name: "endspan-python",
          version: "0.1.0",
          last_seen: new Date(Date.now() - 65_000).toISOString(),
          delivered: 951,
          dropped: { queue_full: 12, process_died: 1 },
        },
        {
          name: "scale-gp-beta",
          version: "0.7.0",
          last_seen: new Date(Date.now() - 4000).toISOString(),
          delivered: 4410,
          dropped: {},
        },
      ],
      uptime_seconds: Math.round((Date.now() - this.startedAt) / 1000) + 93_000,
    };
  }

  private tail(url: URL, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(": hello\n\n");
    const tail = { response, traceId: url.searchParams.get("trace_id") };
    this.tails.add(tail);
    response.on("close", () => this.tails.delete(tail));
  }

  private file(path: string, response: ServerResponse): void {
    const headers = {
      "content-security-policy": CONTENT_SECURITY_POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
    };
    const dist = this.options.dist;
    if (!dist) {
      response.writeHead(404).end();
      return;
    }
    let file = join(dist, normalize(path));
    if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile())
      file = join(dist, "index.html");
    const immutable = file.includes("assets");
    response.writeHead(200, {
      ...headers,
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-encoding": "gzip",
      "cache-control": immutable ? "public, max-age=31536000, immutable" : "no-cache",
    });
    createReadStream(file).pipe(createGzip()).pipe(response);
  }
}

/** Hands a request to a real server: the pages of this folder with the answers of that one. */
function forward(upstream: string, request: IncomingMessage, response: ServerResponse): void {
  const call = httpRequest(
    new URL(request.url!, upstream),
    { method: request.method, headers: { ...request.headers, host: new URL(upstream).host } },
    (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    },
  );
  call.on("error", () => response.writeHead(502).end());
  response.on("close", () => call.destroy());
  request.pipe(call);
}

function json(request: IncomingMessage, response: ServerResponse, value: unknown, status = 200): void {
  const text = JSON.stringify(value);
  const headers: Record<string, string> = { "content-type": "application/json", "cache-control": "no-store" };
  if (text.length > 1_000_000 || !request.headers["accept-encoding"]?.includes("gzip")) {
    response.writeHead(status, headers).end(text);
    return;
  }
  response.writeHead(status, { ...headers, "content-encoding": "gzip" }).end(gzipSync(text, { level: 1 }));
}

const iso = (micros: number) =>
  `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 20)}${String(Math.floor(micros % 1e6)).padStart(6, "0")}Z`;

function toJson(span: MockSpan, payloads: boolean): unknown {
  const { input, output, metadata, start, end, ...rest } = span;
  return {
    ...rest,
    start_time: iso(start),
    end_time: end === null ? null : iso(end),
    ...(payloads ? { input, output, metadata } : {}),
  };
}

function summarise(spans: MockSpan[]) {
  const root = spans.find((span) => span.parent_id === null) ?? spans[0]!;
  let start = Number.POSITIVE_INFINITY;
  let end: number | null = null;
  let open = 0;
  let errors = 0;
  let input = 0;
  let output = 0;
  let cost = 0;
  for (const span of spans) {
    start = Math.min(start, span.start);
    if (span.end === null) open++;
    else end = Math.max(end ?? 0, span.end);
    if (span.status === "ERROR") errors++;
    input += span.input_tokens ?? 0;
    output += span.output_tokens ?? 0;
    cost += span.cost_usd ?? 0;
  }
  const metadata = root.metadata as { agent_name?: string } | null;
  return {
    account: root.account,
    trace_id: root.trace_id,
    name: root.name,
    agent: metadata?.agent_name ?? null,
    start_time: iso(start),
    end_time: end === null ? null : iso(end),
    duration: end === null ? null : end - start,
    span_count: spans.length,
    open_count: open,
    error_count: errors,
    status: root.status,
    input_tokens: input,
    output_tokens: output,
    cost_usd: cost,
  };
}

function columns(spans: MockSpan[], position: number): unknown {
  const at = new Map(spans.map((span, i) => [span.id, i]));
  let base = Number.POSITIVE_INFINITY;
  for (const span of spans) base = Math.min(base, span.start);
  const dictionary = () => {
    const list: string[] = [];
    const index = new Map<string, number>();
    return {
      list,
      of: (text: string | null) => {
        if (text === null) return -1;
        let i = index.get(text);
        if (i === undefined) {
          i = list.push(text) - 1;
          index.set(text, i);
        }
        return i;
      },
    };
  };
  const names = dictionary();
  const types = dictionary();
  const models = dictionary();
  const errors = dictionary();
  const lost = dictionary();
  return {
    trace_id: spans[0]!.trace_id,
    account: spans[0]!.account,
    other_accounts: [],
    position,
    base_unix_micros: base,
    columns: {
      id: spans.map((span) => span.id),
      parent: spans.map((span) =>
        span.parent_id === null ? -1 : (at.get(span.parent_id) ?? -2 - lost.of(span.parent_id)),
      ),
      name: spans.map((span) => names.of(span.name)),
      type: spans.map((span) => types.of(span.type)),
      status: spans.map((span) => [null, "SUCCESS", "ERROR", "CANCELED"].indexOf(span.status)),
      start: spans.map((span) => span.start - base),
      duration: spans.map((span) => (span.end === null ? null : span.end - span.start)),
      input_tokens: spans.map((span) => span.input_tokens),
      output_tokens: spans.map((span) => span.output_tokens),
      cached_tokens: spans.map((span) => span.cached_tokens),
      cost_usd: spans.map((span) => span.cost_usd),
      model: spans.map((span) => models.of(span.model)),
      error: spans.map((span) => errors.of(span.error)),
    },
    names: names.list,
    types: types.list,
    models: models.list,
    errors: errors.list,
    missing_parents: lost.list,
  };
}

/** The traces that development and screenshots show: every scenario, one odd, one running, some large. */
export function fillWithSamples(server: MockServer, now = Date.now() * 1000): void {
  for (let i = 0; i < 240; i++) {
    server.add(
      makeTrace({
        seed: 1000 + i,
        start: now - 60_000_000 - i * i * 4_000_000,
        account: i % 17 === 5 ? "staging" : "default",
      }),
    );
  }
  server.add(makeTrace({ seed: 3, start: now - 40_000_000, spans: 60, scenario: 0 }));
  server.add(makeTrace({ seed: 8, start: now - 50_000_000, spans: 26, scenario: 1 }));
  server.add(makeTrace({ seed: 9, start: now - 55_000_000, spans: 45, scenario: 2, odd: true }));
  server.add(makeTrace({ seed: 5, start: now - 20_000_000, spans: 12, scenario: 1, running: true }));
}

/** Plays an agent run as it would happen: each span is written when it starts and again when it ends. */
export function playLive(server: MockServer, seed: number, speed = 1): () => void {
  const began = Date.now() * 1000;
  const spans = makeTrace({ seed, start: began, spans: 40 });
  const events: { at: number; span: MockSpan }[] = [];
  for (const span of spans) {
    events.push({
      at: span.start,
      span: {
        ...span,
        end: null,
        status: null,
        output: null,
        error: null,
        output_tokens: null,
        input_tokens: null,
        cost_usd: null,
      },
    });
    if (span.end !== null) events.push({ at: span.end, span });
  }
  events.sort((a, b) => a.at - b.at);
  const timers = events.map((event) =>
    setTimeout(() => server.upsert(event.span), (event.at - began) / 1000 / speed),
  );
  return () => timers.forEach(clearTimeout);
}
