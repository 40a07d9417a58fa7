import { describe, expect, it } from "vitest";
import { continues, newMessages } from "../../src/model/conversation";
import { diff, diffLines } from "../../src/model/diff";
import { type Chat, chatOf, plainText } from "../../src/model/messages";
import { Random } from "../runs";

describe("chat", () => {
  it("reads the server's normal form: roles, calls, results, settings", () => {
    const chat = chatOf({
      request_model: "gpt-4.1",
      response_model: "gpt-4.1-2025-04-14",
      finish_reasons: ["tool_call"],
      parameters: { temperature: 0.2, stop: ["x"] } as never,
      tool_definitions: [
        { type: "function", function: { name: "get_order" } },
        { name: "search" },
        "plain",
        null,
      ],
      system_instructions: [{ type: "text", content: "Be short." }],
      input_messages: [
        { role: "user", name: "Ada", parts: [{ type: "text", content: "Where is it?" }] },
        {
          role: "assistant",
          parts: [{ type: "tool_call", id: "c1", name: "get_order", arguments: { id: 7 } }],
        },
        {
          role: "tool",
          parts: [{ type: "tool_call_response", id: "c1", response: "not found", is_error: true }],
        },
      ],
      output_messages: [
        {
          role: "assistant",
          parts: [
            { type: "reasoning", content: "hm" },
            { type: "text", content: "Lost." },
          ],
        },
      ],
    })!;
    expect(chat.model).toBe("gpt-4.1-2025-04-14");
    expect(chat.finish).toBe("tool_call");
    expect(chat.settings).toEqual([
      ["temperature", "0.2"],
      ["stop", '["x"]'],
    ]);
    expect(chat.tools).toEqual(["get_order", "search", "plain", "(no name)"]);
    expect(chat.input.map((message) => [message.role, message.name])).toEqual([
      ["system", null],
      ["user", "Ada"],
      ["assistant", null],
      ["tool", null],
    ]);
    expect(chat.input[2]!.parts).toEqual([
      { type: "tool-call", id: "c1", name: "get_order", args: '{\n  "id": 7\n}' },
    ]);
    expect(chat.input[3]!.parts).toEqual([
      { type: "tool-result", id: "c1", name: null, result: "not found", failed: true },
    ]);
    expect(chat.output.map(plainText)).toEqual(["(reasoning)\nhm\nLost."]);
  });

  it("names media by what it is and where, and never shows its bytes", () => {
    const chat = chatOf({
      input_messages: [
        {
          role: "user",
          parts: [
            { type: "uri", modality: "image", uri: "https://example.com/a.png" },
            { type: "blob", modality: "image", mime_type: "image/png", content: "A".repeat(4000) },
            { type: "file", modality: "document", file_id: "file-1" },
            { odd: 1 } as never,
          ],
        },
      ],
    })!;
    expect(chat.input[0]!.parts).toEqual([
      { type: "media", what: "image", detail: "https://example.com/a.png" },
      { type: "media", what: "image/png", detail: "3,000 bytes, kept in the span" },
      { type: "media", what: "document", detail: "file-1" },
      { type: "unknown", json: '{\n  "odd": 1\n}' },
    ]);
  });

  it("is none for spans that are no conversation", () => {
    expect(chatOf({})).toBeNull();
    expect(chatOf({ request_model: "m", system_instructions: [{ type: "text", content: "x" }] })).toBeNull();
  });
});

describe("conversation", () => {
  const call = (messages: [string, string][], answer: string): Chat =>
    chatOf({
      input_messages: messages.map(([role, content]) => ({
        role,
        parts: [{ type: "text" as const, content }],
      })),
      output_messages: [{ role: "assistant", parts: [{ type: "text", content: answer }] }],
    })!;
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
