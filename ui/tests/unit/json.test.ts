import { describe, expect, it } from "vitest";
import {
  indexJson,
  JsonError,
  jsonLines,
  keyOf,
  member,
  pathOf,
  rawOf,
  searchJson,
} from "../../src/model/json-document";

const TEXT = `{"b":1.0,"a":[1e400,12345678901234567890,{"k\\"ey":"x\\\\"}],"b":-0,"empty":{},"s":"caf\\u00e9\\nline"}`;

describe("JSON index", () => {
  it("keeps key order, repeated keys and the digits of numbers", () => {
    const document = indexJson(TEXT);
    const keys = [];
    for (let node = 1; node < document.count; node = document.after[node]!) keys.push(keyOf(document, node));
    expect(keys).toEqual(["b", "a", "b", "empty", "s"]);
    expect(rawOf(document, member(document, 0, "b"))).toBe("-0");
    const numbers = jsonLines(document, new Set(), new Set())
      .filter((line) => line.part === 0 && document.kind[line.node] === 4)
      .map((line) => rawOf(document, line.node));
    expect(numbers).toEqual(["1.0", "1e400", "12345678901234567890", "-0"]);
  });

  it("finds its way to a node and says the path", () => {
    const document = indexJson(TEXT);
    expect(searchJson(document, 'k\\"ey').map((node) => pathOf(document, node))).toEqual(['a[2]["k\\"ey"]']);
  });

  it("folds, and unfolds long strings into pieces", () => {
    const document = indexJson(TEXT);
    const list = member(document, 0, "a");
    const text = member(document, 0, "s");
    const shown = (closed: number[], long: number[]) =>
      jsonLines(document, new Set(closed), new Set(long)).length;
    expect(shown([], []) - shown([list], [])).toBe(6);
    const pieces = jsonLines(document, new Set(), new Set([text])).filter((line) => line.part === 2);
    expect(pieces.map((line) => line.piece)).toEqual(["café", "line"]);
  });

  it("agrees with the parser on what is JSON and what is not", () => {
    for (const text of ["{", "[1,]", '{"a":}', '{"a" 1}', '"open', "", "[}", '{"a":1}}', "[1 2]"]) {
      expect(() => indexJson(text), text).toThrow(JsonError);
    }
    for (const text of ["1", '"x"', "[]", " { } ", '[[[["deep"]]]]', '{"\\\\":"\\\\\\""}']) {
      expect(indexJson(text).count, text).toBeGreaterThan(0);
    }
  });

  it("indexes depth without recursion and megabytes in little time", () => {
    const deep = "[".repeat(60_000) + "]".repeat(60_000);
    expect(indexJson(deep).count).toBe(60_000);
    const wide = JSON.stringify(
      Array.from({ length: 60_000 }, (_, i) => ({ id: i, text: "some words here" })),
    );
    expect(indexJson(wide).count).toBe(180_001);
  });

  it("finds text in keys and values, ignoring case, and nothing between them", () => {
    const document = indexJson('{"Alpha":"beta ALPHA","n":[{"x":"alphabet"}]}');
    expect(searchJson(document, "alpha").map((node) => pathOf(document, node))).toEqual(["Alpha", "n[0].x"]);
    expect(searchJson(document, "(")).toEqual([]);
  });
});
