import { describe, expect, it } from "vitest";
import { formatBytes, formatCost, formatDuration, formatShort } from "../../src/model/format";
import { kindOf } from "../../src/model/kinds";
import { parseTraceQuery } from "../../src/model/search";
import { ticks } from "../../src/model/ticks";
import { exactMoment, formatMoment, parseMoment } from "../../src/model/time";

describe("format", () => {
  it("durations keep three digits and never round up to a wrong unit", () => {
    const cases: [number, string][] = [
      [0, "0 µs"],
      [0.5, "500 ns"],
      [999, "999 µs"],
      [1500, "1.5 ms"],
      [999_400, "999 ms"],
      [1_234_567, "1.23 s"],
      [59_900_000, "59.9 s"],
      [60_000_000, "1 min"],
      [754_000_000, "12 min 34 s"],
      [7_260_000_000, "2 h 1 min"],
      [90_000_000_000, "1 d 1 h"],
      [-2_000_000, "−2 s"],
      [Number.NaN, "–"],
    ];
    for (const [micros, text] of cases) expect(formatDuration(micros)).toBe(text);
  });

  it("numbers, money and sizes are short and honest", () => {
    expect([999, 1000, 1250, 999_499, 999_500, 12_400_000].map(formatShort)).toEqual([
      "999",
      "1k",
      "1.3k",
      "999k",
      "1M",
      "12M",
    ]);
    expect([0, 0.00004, 0.0012, 0.056, 1.5, 1234.6].map(formatCost)).toEqual([
      "$0",
      "$4.0e-5",
      "$0.00120",
      "$0.056",
      "$1.50",
      "$1,235",
    ]);
    expect([5, 1500, 48_000_000].map(formatBytes)).toEqual(["5 B", "1.5 kB", "48 MB"]);
  });

  it("moments keep their microseconds", () => {
    const moment = parseMoment("2026-11-20T10:00:00.123456Z");
    expect(moment % 1e6).toBe(123_456);
    expect(parseMoment("2026-11-20T12:00:00.123456+02:00")).toBe(moment);
    expect(parseMoment("2026-11-20 10:00:00.123456")).toBe(moment);
    expect(exactMoment(moment)).toContain("2026-11-20T10:00:00.123456Z");
    expect(parseMoment("yesterday")).toBeNaN();
  });

  it("moments read as the browser's own calendar has them", () => {
    const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
    const clock = new Intl.DateTimeFormat("en-US", time);
    const dated = new Intl.DateTimeFormat("en-US", { month: "short", day: "numeric", ...time });
    const zone = new Intl.DateTimeFormat("en-US", { timeZoneName: "shortOffset" });
    const now = Date.UTC(2026, 6, 20, 12, 30, 5);
    for (let day = -150; day <= 150; day += 7) {
      const date = new Date(now + day * 86_400_000 + day * 61_000);
      const read = formatMoment(date.getTime() * 1000, now);
      expect(read).toBe((day === 0 ? clock : dated).format(date));
      const offset = zone.formatToParts(date).find((part) => part.type === "timeZoneName")!.value;
      // Versions of the calendar differ in what they call no distance at all.
      const named = offset.replace(/^(GMT\+0|UTC)$/, "GMT");
      expect(
        exactMoment(date.getTime() * 1000)
          .split(" ")
          .at(-1),
      ).toBe(named);
    }
    expect(formatMoment(now * 1000, now)).toBe(clock.format(new Date(now)));
    expect(formatMoment(Date.UTC(2024, 1, 29, 12) * 1000, now)).toMatch(/^Feb 29 2024, /);
    expect(formatMoment(9e18, now)).toBe("outside the calendar");
    expect(formatMoment(Number.NaN, now)).toBe("–");
  });

  it("ticks are round and inside", () => {
    expect(ticks(0, 38e6, 6).map((tick) => tick.label)).toEqual(["0", "10 s", "20 s", "30 s"]);
    expect(ticks(0, 3.6e9, 6).map((tick) => tick.label)).toEqual([
      "0",
      "10 min",
      "20 min",
      "30 min",
      "40 min",
      "50 min",
      "1 h",
    ]);
    for (const tick of ticks(123.4, 9_876_543, 7)) expect(tick.at).toBeGreaterThanOrEqual(123.4);
  });

  it("kinds come from types of every convention, else from names", () => {
    const cases: [string | null, string, string][] = [
      ["COMPLETION", "x", "llm"],
      ["CUSTOM", "turn_3", "turn"],
      ["RETRIEVER", "x", "retrieval"],
      ["execute_tool", "x", "tool"],
      [null, "execute_tool search", "tool"],
      [null, "chat gpt-4o", "llm"],
      [null, "invoke_agent planner", "agent"],
      ["STANDALONE", "chat.completions", "llm"],
      [null, "SELECT 1", "other"],
    ];
    for (const [type, name, kind] of cases) expect(kindOf(type, name), `${type} ${name}`).toBe(kind);
  });

  it("queries of a trace have words and conditions", () => {
    expect(parseTraceQuery("time out kind:tool is:error")).toEqual({
      text: "time out",
      kind: "tool",
      is: "error",
      model: null,
    });
    expect(parseTraceQuery("http://x").text).toBe("http://x");
  });
});
