/** Writes generated traces to a real server, through the SGP API that clients use. */
import type { SampleSpan } from "./runs";

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

function toSgp(span: SampleSpan): unknown {
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

/** The Agentex form, whose API takes what the SGP one refuses: parents that form a circle. */
function toAgentex(span: SampleSpan): unknown {
  return {
    id: span.id,
    trace_id: span.trace_id,
    parent_id: span.parent_id,
    name: span.name,
    start_time: iso(span.start),
    end_time: span.end === null ? null : iso(span.end),
    input: span.input,
    output: span.output,
    data: span.metadata,
  };
}

async function post(
  method: string,
  url: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<void> {
  const response = await fetch(url, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

/** Sends spans in batches; the server has stored them when this returns. */
export async function send(
  base: string,
  spans: SampleSpan[],
  headers: Record<string, string> = {},
): Promise<void> {
  const all = { "x-selected-account-id": spans[0]!.account, ...headers };
  const circles = spans.filter((span) => span.name === "retry_loop" || span.name === "retry_attempt");
  const plain = spans.filter((span) => !circles.includes(span));
  for (let at = 0; at < plain.length; at += 1000) {
    await post("PUT", `${base}/v5/spans/batch`, { items: plain.slice(at, at + 1000).map(toSgp) }, all);
  }
  for (const span of circles) await post("POST", `${base}/spans`, toAgentex(span), all);
}
