/** Deterministic agent runs for development and component tests. The same seed gives the same traces. */

export interface SampleSpan {
  account: string;
  trace_id: string;
  id: string;
  parent_id: string | null;
  name: string;
  type: string | null;
  status: string | null;
  start: number;
  end: number | null;
  input: unknown;
  output: unknown;
  metadata: unknown;
  model: string | null;
  error: string | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cached_tokens: number | null;
  cost_usd: number | null;
}

export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = (seed * 2_654_435_761) >>> 0;
  }
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }
  uuid(): string {
    let hex = "";
    for (let i = 0; i < 4; i++)
      hex += Math.floor(this.next() * 4_294_967_296)
        .toString(16)
        .padStart(8, "0");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }
}

interface Scenario {
  agent: string;
  model: string;
  system: string;
  tools: { name: string; args: (r: Random) => unknown; result: (r: Random) => unknown }[];
  asks: string[];
  answers: string[];
}

const SCENARIOS: Scenario[] = [
  {
    agent: "support-agent",
    model: "gpt-4.1",
    system:
      "You are the support agent of Northwind Outdoor. Answer from the knowledge base and the order system only. Refunds above 200 EUR need a human. Be short and kind.",
    tools: [
      {
        name: "get_order",
        args: (r) => ({ order_id: `NW-${10_000 + r.below(90_000)}` }),
        result: (r) => ({
          order_id: `NW-${10_000 + r.below(90_000)}`,
          status: r.pick(["shipped", "delivered", "in transit"]),
          carrier: "DHL",
          items: [{ sku: "TENT-2P-GRN", quantity: 1, price_eur: 189.0 }],
          delivered_at: null,
        }),
      },
      {
        name: "search_docs",
        args: (r) => ({
          query: r.pick(["refund window", "damaged on arrival", "tent pole replacement"]),
          top_k: 5,
        }),
        result: (r) => ({
          results: [
            {
              id: r.below(9999),
              score: 0.91,
              title: "Returns and refunds",
              snippet: "Unused goods can be returned within 60 days.",
            },
            {
              id: r.below(9999),
              score: 0.83,
              title: "Damaged on arrival",
              snippet: "Send a photo; a replacement ships the same day.",
            },
          ],
          total: 2,
        }),
      },
      {
        name: "create_refund",
        args: (r) => ({ order_id: `NW-${10_000 + r.below(90_000)}`, amount_eur: 189, reason: "damaged" }),
        result: () => ({ refund_id: "RF-88213", state: "queued" }),
      },
    ],
    asks: [
      "Hi, my tent arrived with a broken pole. Order NW-48213. What can I do?",
      "I'd rather have my money back. It is for a trip next week.",
      "How long until it is on my card?",
      "And can I keep the footprint that came with it?",
    ],
    answers: [
      "I'm sorry about the pole. I can send a replacement today, or refund the tent: 189 EUR. Which would you prefer?",
      "Done: the refund of 189 EUR is queued (RF-88213). No need to send the tent back.",
      "Card refunds take 3 to 5 working days from now. You will get an e-mail when it leaves us.",
      "Yes, keep the footprint. Enjoy your trip!",
    ],
  },
  {
    agent: "code-agent",
    model: "claude-sonnet-4-5",
    system:
      "You are a coding agent working in a repository. Read before you write. Run the tests after every change. Stop when they pass.",
    tools: [
      {
        name: "bash",
        args: (r) => ({
          command: r.pick([
            "cargo test -p ledger",
            "rg -n 'fn settle' src",
            "git diff --stat",
            "cargo check",
          ]),
        }),
        result: (r) =>
          r.pick([
            "running 42 tests\ntest settle::rounds_half_even ... FAILED\n\nfailures:\n  left: 1005\n right: 1004\n\ntest result: FAILED. 41 passed; 1 failed",
            "src/settle.rs:118:pub fn settle(batch: &Batch) -> Result<Money, SettleError> {\nsrc/settle.rs:164:    fn settle_empty_is_zero() {",
            "running 42 tests\n..........................................\ntest result: ok. 42 passed; 0 failed; finished in 0.31s",
          ]),
      },
      {
        name: "read_file",
        args: () => ({ path: "src/settle.rs", from: 110, to: 150 }),
        result: () =>
          "pub fn settle(batch: &Batch) -> Result<Money, SettleError> {\n    let mut sum = Money::ZERO;\n    for entry in &batch.entries {\n        sum = sum.checked_add(entry.amount.round())?;\n    }\n    Ok(sum)\n}",
      },
      {
        name: "edit_file",
        args: () => ({
          path: "src/settle.rs",
          old: "entry.amount.round()",
          new: "entry.amount.round_half_even()",
        }),
        result: () => "1 replacement in src/settle.rs",
      },
    ],
    asks: [
      "The settlement test fails on CI since this morning. Find out why and fix it.",
      "Does anything else use the old rounding?",
      "Good. Write a changelog line for it.",
    ],
    answers: [
      "`settle` rounds half up, the ledger specification says half to even. I changed `round()` to `round_half_even()`; all 42 tests pass.",
      "Two more callers, both in reports. They format for display only, so I left them as they are.",
      "Fixed: settlement sums now round half to even, as the ledger specification says.",
    ],
  },
  {
    agent: "research-agent",
    model: "gpt-4o",
    system:
      "You are a research agent. Break the question into searches, read the best sources, and answer with citations. Say what you could not verify.",
    tools: [
      {
        name: "web_search",
        args: (r) => ({
          query: r.pick([
            "sodium-ion cell cost 2026",
            "grid storage tenders Europe",
            "cycle life LFP vs Na-ion",
          ]),
        }),
        result: (r) => ({
          hits: Array.from({ length: 4 }, (_, i) => ({
            rank: i + 1,
            url: `https://example.org/${r.below(9999)}`,
            title: "Storage outlook",
          })),
        }),
      },
      {
        name: "fetch_page",
        args: (r) => ({ url: `https://example.org/${r.below(9999)}` }),
        result: (r) => ({
          status: 200,
          words: 800 + r.below(4000),
          text: "Sodium-ion cells were quoted between 52 and 61 USD/kWh in the first half of the year, against 49 for LFP. ".repeat(
            6,
          ),
        }),
      },
      {
        name: "calculator",
        args: () => ({ expression: "(61-49)/49" }),
        result: () => ({ value: 0.2448979591836735 }),
      },
    ],
    asks: [
      "Is sodium-ion already cheaper than LFP for grid storage? Give me numbers I can quote.",
      "What would have to change for that to flip?",
    ],
    answers: [
      "Not yet. Quotes in the first half of the year run from 52 to 61 USD/kWh against 49 for LFP [1][2], so 6 to 24 % dearer. Cycle life is comparable [3]; I could not verify the claimed 20-year warranty.",
      "Two things: hard carbon below 6 USD/kg and cell lines above 10 GWh. Both are announced, neither is running [2][4].",
    ],
  },
];

const TASKS = ["Broken tent pole", "Fix settlement rounding", "Sodium-ion against LFP"];

export interface TraceOptions {
  seed: number;
  /** Unix microseconds. */
  start: number;
  /** About how many spans. */
  spans?: number;
  scenario?: number;
  running?: boolean;
  odd?: boolean;
  account?: string;
  payloads?: boolean;
}

/** One agent run: agent, turns, model calls, tools and retrievals; the conversation grows turn by turn. */
export function makeTrace(options: TraceOptions): SampleSpan[] {
  const r = new Random(options.seed);
  const which = options.scenario ?? r.below(SCENARIOS.length);
  const scenario = SCENARIOS[which]!;
  const spans: SampleSpan[] = [];
  const target = options.spans ?? 18 + r.below(30);
  const payloads = options.payloads ?? true;
  const traceId = r.uuid();
  let t = options.start;
  const open = (parent: SampleSpan | null, name: string, type: string | null): SampleSpan => {
    const span: SampleSpan = {
      account: options.account ?? "default",
      trace_id: traceId,
      id: r.uuid(),
      parent_id: parent?.id ?? null,
      name,
      type,
      status: null,
      start: Math.round(t),
      end: null,
      input: null,
      output: null,
      metadata: payloads
        ? { __agent_name__: scenario.agent, session_id: `sess-${options.seed}`, environment: "production" }
        : null,
      model: null,
      error: null,
      input_tokens: null,
      output_tokens: null,
      cached_tokens: null,
      cost_usd: null,
    };
    spans.push(span);
    return span;
  };
  const close = (span: SampleSpan, failure: string | null = null) => {
    span.end = Math.round(t);
    span.status = failure ? "ERROR" : "SUCCESS";
    span.error = failure;
    if (failure && payloads) {
      span.metadata = {
        ...(span.metadata as object),
        __error__: { type: failure.split(":")[0], message: failure },
      };
    }
  };
  const wait = (low: number, high: number) => {
    t += r.between(low, high) * 1000;
  };

  const root = open(null, scenario.agent, "AGENT_WORKFLOW");
  if (payloads) root.input = { task: TASKS[which], user: "u-2291" };
  type Msg = Record<string, unknown>;
  const anthropic = scenario.model.startsWith("claude");
  const messages: Msg[] = anthropic ? [] : [{ role: "system", content: scenario.system }];
  let tokens = 180;
  let turn = 0;
  while (spans.length < target) {
    turn++;
    const turnSpan = open(root, `turn_${turn}`, "CUSTOM");
    const ask = scenario.asks[(turn - 1) % scenario.asks.length]!;
    messages.push({ role: "user", content: ask });
    if (payloads) turnSpan.input = { message: ask };
    wait(1, 4);
    if (which === 0 && turn === 1) {
      const guard = open(turnSpan, "input_guardrail", "GUARDRAIL");
      wait(20, 60);
      close(guard);
    }
    const rounds = 1 + r.below(3);
    for (let round = 0; round <= rounds && (spans.length < target || round === 0); round++) {
      const last = round === rounds || spans.length + 2 >= target;
      const call = open(turnSpan, anthropic ? "messages.create" : "chat.completions", "COMPLETION");
      call.model = scenario.model;
      const inputTokens = tokens;
      wait(last ? 700 : 400, last ? 2600 : 1400);
      if (r.below(29) === 0) {
        close(call, "RateLimitError: 429 too many requests, retry after 1.2 s");
        if (payloads)
          call.input = {
            model: scenario.model,
            temperature: 0.2,
            ...(anthropic ? { system: scenario.system } : {}),
            messages: messages.slice(),
          };
        wait(1000, 1300);
        round--;
        continue;
      }
      const answer = scenario.answers[(turn - 1) % scenario.answers.length]!;
      const wanted = last
        ? []
        : Array.from({ length: round === 0 && r.below(3) === 0 ? 4 + r.below(9) : 1 + r.below(2) }, () =>
            r.pick(scenario.tools),
          );
      const sameTool = wanted.length > 3 ? wanted[0]! : null;
      const calls = wanted.map((tool) => ({
        id: `call_${r.below(1e9).toString(36)}`,
        tool: sameTool ?? tool,
      }));
      const made = calls.map((c) => ({ ...c, args: c.tool.args(r) }));
      const outputTokens = last ? 40 + Math.round(answer.length / 4) : 24 + 18 * made.length;
      const cached = turn > 1 || round > 0 ? Math.floor((inputTokens * 0.8) / 64) * 64 : 0;
      call.input_tokens = inputTokens;
      call.output_tokens = outputTokens;
      call.cached_tokens = cached;
      call.cost_usd = anthropic
        ? ((inputTokens - cached) * 3 + cached * 0.3 + outputTokens * 15) / 1e6
        : ((inputTokens - cached) * 2 + cached * 0.5 + outputTokens * 8) / 1e6;
      let said: Msg;
      if (anthropic) {
        said = {
          role: "assistant",
          content: last
            ? [{ type: "text", text: answer }]
            : [
                { type: "text", text: "Let me look at that first." },
                ...made.map((c) => ({ type: "tool_use", id: c.id, name: c.tool.name, input: c.args })),
              ],
        };
      } else {
        said = last
          ? { role: "assistant", content: answer }
          : {
              role: "assistant",
              content: null,
              tool_calls: made.map((c) => ({
                id: c.id,
                type: "function",
                function: { name: c.tool.name, arguments: JSON.stringify(c.args) },
              })),
            };
      }
      if (payloads) {
        call.input = anthropic
          ? {
              model: scenario.model,
              max_tokens: 4096,
              system: scenario.system,
              messages: messages.slice(),
              tools: scenario.tools.map((x) => ({ name: x.name })),
            }
          : {
              model: scenario.model,
              temperature: 0.2,
              messages: messages.slice(),
              tools: scenario.tools.map((x) => ({ type: "function", function: { name: x.name } })),
            };
        call.output = anthropic
          ? {
              id: `msg_${r.below(1e9).toString(36)}`,
              ...said,
              stop_reason: last ? "end_turn" : "tool_use",
              usage: {
                input_tokens: inputTokens - cached,
                cache_read_input_tokens: cached,
                output_tokens: outputTokens,
              },
            }
          : {
              id: `chatcmpl-${r.below(1e9).toString(36)}`,
              choices: [{ index: 0, message: said, finish_reason: last ? "stop" : "tool_calls" }],
              usage: {
                prompt_tokens: inputTokens,
                completion_tokens: outputTokens,
                total_tokens: inputTokens + outputTokens,
                prompt_tokens_details: { cached_tokens: cached },
              },
            };
      }
      if (payloads) {
        // One of the scenarios reports its cost itself.
        const reported = which === 0 ? { cost_usd: call.cost_usd } : {};
        call.metadata = { ...(call.metadata as object), model: scenario.model, ...reported };
      }
      close(call);
      messages.push(said);
      tokens += outputTokens;
      wait(1, 3);
      const results: Msg[] = [];
      for (const c of made) {
        const isSearch = c.tool.name === "search_docs" || c.tool.name === "web_search";
        const tool = open(turnSpan, c.tool.name, isSearch ? "KB_RETRIEVAL" : "EXTERNAL_ENDPOINT");
        if (payloads) tool.input = c.args as object;
        wait(1, 3);
        if (c.tool.name === "fetch_page" || c.tool.name === "get_order") {
          const http = open(
            tool,
            c.tool.name === "get_order" ? "SELECT orders" : "GET example.org",
            "CUSTOM",
          );
          wait(30, 240);
          close(http);
        }
        wait(10, 420);
        const failed = r.below(23) === 0;
        const result = failed ? "upstream timed out after 400 ms" : c.tool.result(r);
        if (payloads)
          tool.output = failed ? null : typeof result === "string" ? { text: result } : (result as object);
        close(tool, failed ? "TimeoutError: upstream timed out after 400 ms" : null);
        const text = typeof result === "string" ? result : JSON.stringify(result);
        tokens += Math.round(text.length / 4);
        if (anthropic)
          results.push({
            type: "tool_result",
            tool_use_id: c.id,
            content: text,
            ...(failed ? { is_error: true } : {}),
          });
        else messages.push({ role: "tool", tool_call_id: c.id, name: c.tool.name, content: text });
        wait(1, 5);
      }
      if (anthropic && results.length > 0) messages.push({ role: "user", content: results });
      if (last) break;
    }
    if (payloads) turnSpan.output = { message: scenario.answers[(turn - 1) % scenario.answers.length] };
    close(turnSpan);
    wait(200, 4000);
    if (messages.length > 60) {
      messages.splice(1, 40);
      tokens = Math.max(400, tokens * 0.4);
      tokens = Math.round(tokens);
    }
  }
  if (options.running) {
    const turnSpan = open(root, `turn_${turn + 1}`, "CUSTOM");
    wait(3, 5);
    const call = open(turnSpan, anthropic ? "messages.create" : "chat.completions", "COMPLETION");
    call.model = scenario.model;
    if (payloads) call.input = { model: scenario.model, messages: messages.slice() };
  } else {
    if (payloads) root.output = { answer: scenario.answers[(turn - 1) % scenario.answers.length] };
    close(root);
  }
  if (options.odd) addOddities(spans, r);
  return spans;
}

/** Orphans, a circle, skewed clocks and detached work, as real producers make them. */
function addOddities(spans: SampleSpan[], r: Random): void {
  const root = spans[0]!;
  const plain = (name: string, parent: string | null, start: number, end: number | null): SampleSpan => ({
    ...root,
    id: r.uuid(),
    parent_id: parent,
    name,
    type: "CUSTOM",
    status: end === null ? null : "SUCCESS",
    start,
    end,
    input: null,
    output: null,
    error: null,
  });
  const lost = r.uuid();
  spans.push(plain("write_audit_log", lost, root.start + 900_000, root.start + 1_300_000));
  spans.push(plain("write_audit_log", lost, root.start + 1_400_000, root.start + 1_500_000));
  const a = plain("retry_loop", null, root.start + 2_000_000, root.start + 2_400_000);
  const b = plain("retry_attempt", a.id, root.start + 2_100_000, root.start + 2_300_000);
  a.parent_id = b.id;
  spans.push(a, b);
  const turn = spans.find((span) => span.name === "turn_1")!;
  spans.push(plain("remote_worker", turn.id, turn.start - 340_000, turn.start + 200_000));
  spans.push(
    plain("send_summary_email", turn.id, turn.start + 100_000, (turn.end ?? turn.start) + 2_700_000),
  );
}
