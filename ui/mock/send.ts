/** Writes generated traces to a real server, through the SGP API that clients use. */
import type { MockSpan } from "./generate";

const iso = (micros: number) =>
  `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 20)}${String(Math.floor(micros % 1e6)).padStart(6, "0")}Z`;

const TYPES = new Set([
  "AGENT_WORKFLOW",
  "CUSTOM",
  "COMPLETION",
  "GUARDRAIL",
  "EXTERNAL_ENDPOINT",
  "KB_RETRIEVAL",
]);

function toSgp(span: MockSpan): unknown {
  return {
    id: span.id,
    trace_id: span.trace_id,
    parent_id: span.parent_id,
    name: span.name,
    type: span.type && TYPES.has(span.type) ? span.type : "CUSTOM",
    start_timestamp: iso(span.start),
    end_timestamp: span.end === null ? null : iso(span.end),
    status: span.status,
    input: span.input,
    output: span.output,
    metadata: span.metadata,
  };
}

/** Sends spans in batches; the server has stored them when this returns. */
export async function send(
  base: string,
  spans: MockSpan[],
  headers: Record<string, string> = {},
): Promise<void> {
  for (let at = 0; at < spans.length; at += 1000) {
    const response = await fetch(`${base}/v5/spans/batch`, {
      method: "PUT",
      headers: {
        "content-type": "application/json",
        "x-selected-account-id": spans[at]!.account,
        ...headers,
      },
      body: JSON.stringify({ items: spans.slice(at, at + 1000).map(toSgp) }),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}
