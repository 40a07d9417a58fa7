// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { formatView, parseView } from "../../src/pages/trace/view";
import { traceHref, traceIdOf } from "../../src/router";

describe("addresses", () => {
  it("hold the whole view and give it back", () => {
    const search = new URLSearchParams(
      "span=s%201&tab=diff&q=kind%3Atool&zoom=-5~900&depth=1&x=a&x=b&g=c&repeats=0&fit=1&path=0",
    );
    const view = parseView(search);
    const again = new URLSearchParams();
    for (const [name, value] of Object.entries(formatView(view))) {
      if (typeof value === "string") again.set(name, value);
      else if (value !== null) for (const one of value) again.append(name, one);
    }
    again.sort();
    search.sort();
    expect(again.toString()).toBe(search.toString());
  });

  it("are empty for what nobody chose, and ignore nonsense", () => {
    const plain = formatView(parseView(new URLSearchParams()));
    expect(Object.values(plain).every((value) => value === null || value === "" || value.length === 0)).toBe(
      true,
    );
    expect(parseView(new URLSearchParams("zoom=9~3&depth=x")).zoom).toBeNull();
  });

  it("carry any trace id", () => {
    for (const id of ["a", "a/b c", "..", ".", "", "ünï", "%2F", "?q#x", "x".repeat(256)]) {
      const url = new URL(traceHref(id, { span: "s" }), "http://host");
      expect(traceIdOf({ path: url.pathname, search: url.searchParams }), id).toBe(id);
      expect(url.searchParams.get("span")).toBe("s");
    }
  });
});
