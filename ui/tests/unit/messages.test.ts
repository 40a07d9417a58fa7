import { describe, expect, it } from "vitest";
import { Random } from "../../mock/generate";
import { continues, newMessages } from "../../src/model/conversation";
import { diff, diffLines } from "../../src/model/diff";
import { type Chat, plainText, readChat, unflatten } from "../../src/model/messages";

function said(chat: Chat | null): string[] {
  return [...(chat?.input ?? []), ...(chat?.output ?? [])].map(
    (m) => `${m.role}: ${plainText(m).replace(/\s+/g, " ")}`,
  );
}

describe("chat", () => {
  it("reads OpenAI chat completions with tool calls and their results", () => {
    const chat = readChat(
      {
        model: "gpt-4o",
        temperature: 0,
        tools: [{ type: "function", function: { name: "add" } }],
        messages: [
          { role: "developer", content: "be short" },
          {
            role: "user",
            content: [
              { type: "text", text: "1+1?" },
              { type: "image_url", image_url: { url: "https://x/y.png" } },
            ],
          },
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "c1", type: "function", function: { name: "add", arguments: '{"a":1}' } }],
          },
          { role: "tool", tool_call_id: "c1", content: "2" },
        ],
      },
      { choices: [{ message: { role: "assistant", content: "2" }, finish_reason: "stop" }] },
      null,
      null,
    );
    expect(said(chat)).toEqual([
      "system: be short",
      "user: 1+1? [image, https://x/y.png]",
      'assistant: → add({ "a": 1 })',
      "tool: ← 2",
      "assistant: 2",
    ]);
    expect([chat!.model, chat!.finish, chat!.tools, chat!.settings]).toEqual([
      "gpt-4o",
      "stop",
      ["add"],
      [["temperature", "0"]],
    ]);
  });

  it("reads Anthropic messages with thinking, tool use and results", () => {
    const chat = readChat(
      {
        model: "claude-sonnet-4-5",
        system: [{ type: "text", text: "be kind" }],
        messages: [
          { role: "user", content: "hi" },
          {
            role: "assistant",
            content: [
              { type: "thinking", thinking: "hm" },
              { type: "tool_use", id: "t1", name: "look", input: { at: "x" } },
            ],
          },
          {
            role: "user",
            content: [
              {
                type: "tool_result",
                tool_use_id: "t1",
                content: [{ type: "text", text: "seen" }],
                is_error: true,
              },
            ],
          },
        ],
      },
      { role: "assistant", content: [{ type: "text", text: "done" }], stop_reason: "end_turn" },
      null,
      null,
    );
    expect(said(chat)).toEqual([
      "system: be kind",
      "user: hi",
      'assistant: (reasoning) hm → look({ "at": "x" })',
      "user: ← (failed) seen",
      "assistant: done",
    ]);
    expect(chat!.finish).toBe("end_turn");
  });

  it("reads the responses API", () => {
    const chat = readChat(
      {
        model: "gpt-5",
        instructions: "obey",
        input: [
          { role: "user", content: [{ type: "input_text", text: "go" }] },
          { type: "function_call", call_id: "f1", name: "run", arguments: "{}" },
          { type: "function_call_output", call_id: "f1", output: "ok" },
        ],
      },
      {
        output: [
          { type: "reasoning", summary: [] },
          { type: "message", role: "assistant", content: [{ type: "output_text", text: "fine" }] },
        ],
      },
      null,
      null,
    );
    expect(said(chat)).toEqual([
      "system: obey",
      "user: go",
      "assistant: → run({})",
      "tool: ← ok",
      "assistant: (reasoning) (withheld by the provider)",
      "assistant: fine",
    ]);
  });

  it("reads gen_ai attributes, new and old, and OpenInference's flat ones", () => {
    const fresh = readChat(null, null, null, {
      attributes: {
        "gen_ai.request.model": "m",
        "gen_ai.system_instructions": '[{"type":"text","content":"sys"}]',
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"q"}]}]',
        "gen_ai.output.messages":
          '[{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"f","arguments":{"a":1}}],"finish_reason":"tool_call"}]',
      },
    });
    expect(said(fresh)).toEqual(["system: sys", "user: q", 'assistant: → f({ "a": 1 })']);
    const flat = readChat(
      null,
      null,
      {
        "llm.model_name": "x",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "q",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
      },
      null,
    );
    expect(said(flat)).toEqual(["user: q", "assistant: → f({})"]);
    const old = readChat(
      null,
      null,
      { "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "q", "gen_ai.completion.0.content": "a" },
      null,
    );
    expect(said(old)).toEqual(["user: q", "assistant: a"]);
  });

  it("reads Gemini's contents", () => {
    const chat = readChat(
      {
        contents: [
          { role: "user", parts: [{ text: "q" }] },
          { role: "model", parts: [{ functionCall: { name: "f", args: {} } }] },
        ],
      },
      { candidates: [{ content: { role: "model", parts: [{ text: "a" }] }, finishReason: "STOP" }] },
      null,
      null,
    );
    expect(said(chat)).toEqual(["user: q", "assistant: → f({})", "assistant: a"]);
  });

  it("is none for payloads that are no conversation, and never fails on odd ones", () => {
    expect(readChat({ order: 5 }, { ok: true }, null, null)).toBeNull();
    const random = new Random(5);
    const odd = (depth: number): unknown => {
      const pick = random.below(depth > 3 ? 5 : 8);
      if (pick === 0) return null;
      if (pick === 1) return random.below(9);
      if (pick === 2) return "text";
      if (pick === 3) return true;
      if (pick === 4) return "";
      if (pick === 5) return Array.from({ length: random.below(4) }, () => odd(depth + 1));
      const keys = [
        "messages",
        "role",
        "content",
        "parts",
        "tool_calls",
        "function",
        "type",
        "choices",
        "message",
        "input",
        "output",
        "system",
        "text",
      ];
      return Object.fromEntries(
        Array.from({ length: random.below(5) }, () => [random.pick(keys), odd(depth + 1)]),
      );
    };
    for (let i = 0; i < 5000; i++) expect(() => readChat(odd(0), odd(0), odd(0), odd(0))).not.toThrow();
  });

  it("makes nothing of names that reach for the prototype", () => {
    unflatten({ "p.__proto__.polluted": 1, "p.constructor.prototype.polluted": 1 }, "p");
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("conversation", () => {
  const call = (messages: [string, string][], answer: string): Chat =>
    readChat(
      { messages: messages.map(([role, content]) => ({ role, content })) },
      { content: answer },
      null,
      null,
    )!;
  const first = call(
    [
      ["system", "s"],
      ["user", "one"],
    ],
    "uno",
  );
  const second = call(
    [
      ["system", "s"],
      ["user", "one"],
      ["assistant", "uno"],
      ["user", "two"],
    ],
    "dos",
  );

  it("shows what the call before had neither sent nor answered", () => {
    expect(newMessages(first, second)).toEqual([false, false, false, true]);
    expect(newMessages(null, second)).toEqual([true, true, true, true]);
  });

  it("is told apart from another with the same system prompt", () => {
    expect(continues(first, second)).toBe(true);
    expect(
      continues(
        first,
        call(
          [
            ["system", "s"],
            ["user", "else"],
          ],
          "x",
        ),
      ),
    ).toBe(false);
  });

  it("goes on when old messages were dropped from the front", () => {
    const trimmed = call(
      [
        ["system", "s"],
        ["assistant", "uno"],
        ["user", "two"],
        ["assistant", "dos"],
        ["user", "three"],
      ],
      "tres",
    );
    expect(continues(second, trimmed)).toBe(true);
    expect(newMessages(second, trimmed)).toEqual([false, false, false, false, true]);
  });
});

describe("diff", () => {
  const apply = (a: string[], b: string[]) => {
    const rebuilt: string[] = [];
    let equal = 0;
    for (const hunk of diff(a, b)) {
      if (hunk.equal) {
        expect(a.slice(hunk.aFrom, hunk.aTo)).toEqual(b.slice(hunk.bFrom, hunk.bTo));
        equal += hunk.aTo - hunk.aFrom;
      }
      rebuilt.push(...b.slice(hunk.bFrom, hunk.bTo));
    }
    expect(rebuilt).toEqual(b);
    return equal;
  };

  /** Longest common subsequence by the table. */
  const longest = (a: string[], b: string[]) => {
    const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
    for (let i = 1; i <= a.length; i++)
      for (let j = 1; j <= b.length; j++)
        table[i]![j] =
          a[i - 1] === b[j - 1] ? table[i - 1]![j - 1]! + 1 : Math.max(table[i - 1]![j]!, table[i]![j - 1]!);
    return table[a.length]![b.length]!;
  };

  it("keeps as much as can be kept, for any two sequences", () => {
    for (let seed = 1; seed <= 500; seed++) {
      const random = new Random(seed);
      const make = () => Array.from({ length: random.below(14) }, () => "abcd"[random.below(4)]!);
      const a = make();
      const b = make();
      expect(apply(a, b)).toBe(longest(a, b));
    }
  });

  it("gives up on the middle of sequences that have nothing in common", () => {
    const a = Array.from({ length: 5000 }, (_, i) => `a${i}`);
    const b = Array.from({ length: 5000 }, (_, i) => `b${i}`);
    expect(diff(["same", ...a], ["same", ...b])).toHaveLength(2);
  });

  it("marks lines", () => {
    expect(diffLines("a\nb\nc", "a\nx\nc").map((line) => line.sign + line.text)).toEqual([
      " a",
      "-b",
      "+x",
      " c",
    ]);
    expect(diffLines("", "x")).toEqual([{ sign: "+", text: "x" }]);
  });
});
