import type { Browser, Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { makeTrace, type SampleSpan } from "../runs";
import { expectAccessible, keepPicture, openChecked, texts } from "./browser";
import type { TestServer } from "./server";
import { setStage } from "./stage";

let browser: Browser;
let server: TestServer;
let page: Page;
const now = Date.now() * 1000;
const support = makeTrace({ seed: 3, start: now - 100e6, spans: 60, scenario: 0 });
const code = makeTrace({ seed: 8, start: now - 200e6, spans: 40, scenario: 1 });
const odd = makeTrace({ seed: 9, start: now - 300e6, spans: 45, scenario: 2, odd: true });
const running = makeTrace({ seed: 5, start: now - 5e6, spans: 12, scenario: 1, running: true });
const HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>';
const hostile = makeTrace({ seed: 21, start: now - 400e6, spans: 12, scenario: 0 }).map((span) => ({
  ...span,
  name: `${span.name}${HOSTILE}`,
  metadata: { [HOSTILE]: HOSTILE, __error__: { type: HOSTILE, message: `javascript:alert(4) ${HOSTILE}` } },
  ...(span.type === "COMPLETION"
    ? {
        input: {
          model: HOSTILE,
          messages: [
            { role: HOSTILE, content: HOSTILE },
            { role: "user", content: [{ type: "image_url", image_url: { url: "javascript:alert(5)" } }] },
          ],
        },
      }
    : {}),
}));

const address = (spans: SampleSpan[], query = "") => `${server.base}/traces/${spans[0]!.trace_id}${query}`;
const calls = (spans: SampleSpan[]) =>
  spans.filter((span) => span.type === "COMPLETION" && span.status === "SUCCESS");

setStage(
  async (server) => {
    for (const spans of [support, code, odd, running, hostile]) await server.write(spans);
  },
  (stage) => {
    ({ browser, server, page } = stage);
  },
);

describe("trace page", () => {
  it("shows tree and timeline, folded repeats, totals and failures", async () => {
    await page.goto(address(support));
    await page.waitForSelector(".totals");
    expect(await page.title()).toBe("support-agent · endspan");
    expect((await texts(page, ".line .name")).slice(0, 3)).toEqual([
      "support-agent",
      "turn_1",
      "input_guardrail",
    ]);
    expect((await texts(page, ".line.group .times")).every((text) => /^× \d+$/.test(text))).toBe(true);
    expect((await texts(page, ".totals b")).join()).toContain("Model call");
    expect(await page.locator(".stretch").count()).toBeGreaterThan(3);
    await expectAccessible(page);
    await keepPicture(page, "trace");
  });

  it("goes from failure to failure, opening what hides them", async () => {
    await page.goto(address(support));
    await page.waitForSelector(".totals");
    const failed = support.filter((span) => span.status === "ERROR").length;
    const seen = new Set<string>();
    for (let i = 0; i < failed; i++) {
      await page.keyboard.press("e");
      await page.waitForSelector(".line.at.failed");
      await page.waitForTimeout(80);
      seen.add((await page.locator(".line.at.failed").getAttribute("id"))!);
    }
    expect(seen.size).toBe(failed);
  });

  it("finds spans by name and by condition, and steps through the hits", async () => {
    await page.goto(address(support));
    await page.waitForSelector(".totals");
    await page.keyboard.press("/");
    await page.keyboard.type("kind:guardrail");
    await page.waitForSelector(".hits:has-text('1 hit')");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".line.at:has-text('input_guardrail')");
    await page.waitForURL(/q=kind%3Aguardrail/);
    await page.keyboard.press("Escape");
    await page.waitForSelector(".hits", { state: "detached" });
  });

  it("finds spans by what their payloads say", async () => {
    const said = support.filter((span) => JSON.stringify(span.input)?.includes("broken pole"));
    await page.goto(address(support));
    await page.waitForSelector(".totals");
    await page.fill(".trace-tools input", '"broken pole"');
    await page.waitForSelector(`.hits:has-text('${said.length} hits')`);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".line.at .name.hit");
  });

  it("folds and unfolds by keyboard and keeps it in the address", async () => {
    await page.goto(address(code));
    await page.waitForSelector(".totals");
    const all = await page.locator(".line").count();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowLeft");
    await page.waitForURL(/x=/);
    expect(await page.locator(".line").count()).toBeLessThan(all);
    expect(await page.locator(".line.at").getAttribute("aria-expanded")).toBe("false");
    await page.reload();
    await page.waitForSelector(".totals");
    expect(await page.locator(".line").count()).toBeLessThan(all);
    await page.keyboard.press("*");
    await page.waitForURL((url) => !url.search.includes("x="));
  });

  it("shows what was said of a span, and finds its trace by it", async () => {
    const run = makeTrace({ seed: 33, start: now - 600e6, spans: 12, scenario: 0 });
    await server.write(run);
    const assess = async (content: object) => {
      const response = await fetch(`${server.base}/v5/span-assessments`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-selected-account-id": run[0]!.account },
        body: JSON.stringify({ trace_id: run[0]!.trace_id, span_id: run[1]!.id, ...content }),
      });
      expect(response.ok).toBe(true);
    };
    await assess({ assessment_type: "approval", approval: "rejected", comment: `Wrong refund ${HOSTILE}` });
    await assess({ assessment_type: "rating", rating: 2 });
    await assess({ assessment_type: "rubric", rubric: { tone: "curt" } });
    await page.goto(`${server.base}/?assessment=approval:rejected`);
    await page.waitForSelector("text=1 trace");
    await page.goto(address(run, `?span=${run[1]!.id}`));
    await page.waitForSelector(".assessments");
    expect((await texts(page, ".assessments .badge")).sort()).toEqual(["2 of 5", "rejected", "rubric"]);
    expect(await page.locator(".assessments").innerText()).toContain(`Wrong refund ${HOSTILE}`);
    expect(await page.locator(".assessments").innerText()).toContain("tone curt");
    await page.click("button[aria-label='Assess the span']");
    await page.selectOption("select[name=verdict]", "4");
    await page.fill("textarea[name=comment]", "better than the last");
    await expectAccessible(page);
    await keepPicture(page, "assess");
    await page.click("dialog button[type=submit]");
    await page.waitForSelector(".assessments li:has-text('better than the last') .badge:has-text('4 of 5')");
    expect(await page.locator(".assessments li").count()).toBe(4);
    await expectAccessible(page);
    await keepPicture(page, "assessments");
  });

  it("opens a deep link to a span inside a fold", async () => {
    const turns = makeTrace({ seed: 31, start: now - 500e6, spans: 900, scenario: 2 });
    await server.write(turns);
    const target = turns[700]!;
    await page.goto(address(turns, `?span=${target.id}`));
    await page.waitForSelector(".panel");
    await page.waitForSelector(`.line.at:has-text("${target.name}")`);
    expect(await page.locator(".panel-head h2").innerText()).toBe(target.name);
    const shown = await page.locator(".line.at").boundingBox();
    expect(shown!.y).toBeGreaterThan(150);
    expect(shown!.y).toBeLessThan(900);
  });

  it("zooms to a span and back", async () => {
    await page.goto(address(support));
    await page.waitForSelector(".totals");
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowDown");
    const width = async () => (await page.locator(".line.at .bar").boundingBox())!.width;
    const before = await width();
    await page.keyboard.press("z");
    await page.waitForURL(/zoom=/);
    expect(await width()).toBeGreaterThan(before * 5);
    await page.keyboard.press("z");
    await page.waitForURL((url) => !url.search.includes("zoom="));
  });

  it("tells the truth about orphans, circles and clocks", async () => {
    await page.goto(address(odd));
    await page.waitForSelector(".totals");
    await page.keyboard.press("End");
    await page.waitForSelector(".line.missing");
    const badges = new Set(await texts(page, ".line .badge.warn"));
    await page.keyboard.press("Home");
    await page.waitForSelector(".line:has-text('remote_worker')");
    for (const badge of await texts(page, ".line .badge.warn")) badges.add(badge);
    expect([...badges].sort()).toEqual(["circle", "clock skew", "missing", "orphan", "outlives parent"]);
    await page.click(".line:has-text('remote_worker') .name");
    await page.waitForSelector(".panel .notice:has-text('340 ms before its parent')");
    await expectAccessible(page);
    await keepPicture(page, "trace-odd");
  });

  it("grows what runs, and shows a span the moment it ends", async () => {
    await page.goto(address(running));
    await page.waitForSelector(".live-state.live");
    const open = page.locator(".line:has(.bar.running)").last();
    const label = await open.locator(".took").innerText();
    // Past a minute the label has whole seconds, and a loaded machine takes its time.
    await expect.poll(() => open.locator(".took").innerText(), { timeout: 60_000 }).not.toBe(label);
    const last = running[running.length - 1]!;
    const end = Date.now() * 1000;
    await server.write([{ ...last, end, status: "SUCCESS", output: { content: "done" } }]);
    await page.waitForSelector(".line:has(.bar.running) >> nth=2", { state: "detached" });
    const extra = {
      ...last,
      id: "extra",
      name: "arrived_late",
      type: "CUSTOM",
      start: end,
      end: end + 1000,
      status: "SUCCESS",
    };
    await server.write([extra]);
    await page.waitForSelector(".line:has-text('arrived_late')");
  });

  it("is usable on a phone, where the span covers the tree", async () => {
    const phone = await openChecked(browser, { viewport: { width: 390, height: 844 }, hasTouch: true });
    await phone.goto(address(support));
    await phone.waitForSelector(".totals");
    expect(await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
    await expectAccessible(phone);
    await keepPicture(phone, "trace-phone");
    await phone.click(".line:has-text('chat.completions') .name");
    await phone.waitForSelector(".panel .message");
    await expectAccessible(phone);
    await keepPicture(phone, "span-phone");
    await phone.click(".panel [aria-label='Close the span']");
    await phone.waitForSelector(".panel", { state: "detached" });
    await phone.context().close();
  });
});

describe("span panel", () => {
  it("shows only what a call adds, and all of it on demand", async () => {
    const call = calls(support)[5]!;
    await page.goto(address(support, `?span=${call.id}`));
    await page.waitForSelector(".folded");
    const sent = (call.input as { messages: unknown[] }).messages.length;
    const folded = Number.parseInt(await page.locator(".folded").first().innerText(), 10);
    expect(folded).toBeGreaterThan(2);
    // A tool's result stands with the call that asked for it, where both are shown.
    const said = () => page.locator(".message, .call-result").count();
    const fresh = await said();
    await page.click(".folded");
    await page.waitForSelector(".folded", { state: "detached" });
    expect(await said()).toBe(fresh + folded);
    expect(await said()).toBe(sent + 1);
    expect(await page.locator(".call-result").count()).toBeGreaterThan(2);
    await expectAccessible(page);
    await keepPicture(page, "span-chat");
  });

  it("goes to the calls before and after, and compares with the one before", async () => {
    const [, second, third] = calls(code);
    await page.goto(address(code, `?span=${third!.id}&tab=diff`));
    await page.waitForSelector(".diff .diff-lines");
    expect(await page.locator(".folded.still").innerText()).toContain("unchanged");
    expect(await page.locator(".diff-lines .add").count()).toBeGreaterThan(0);
    await expectAccessible(page);
    await keepPicture(page, "span-diff");
    await page.keyboard.press("[");
    await page.waitForURL(new RegExp(`span=${second!.id}`));
    await page.waitForSelector("button[aria-label^='Next call']:not([disabled])");
    await page.keyboard.press("]");
    await page.waitForURL(new RegExp(`span=${third!.id}`));
  });

  it("shows the arithmetic of tokens and money", async () => {
    const call = calls(code)[2]!;
    await page.goto(address(code, `?span=${call.id}&tab=details`));
    await page.waitForSelector(".usage");
    const text = await page.locator(".details").innerText();
    expect(text).toContain(`${call.input_tokens!.toLocaleString("en-US")} + `);
    expect(text).toMatch(/× \$15 \/ 1M =/);
    expect(text).toContain(call.id);
    await expectAccessible(page);
    await keepPicture(page, "span-details");
  });

  it("adds up the whole trace, and says what was counted", async () => {
    await page.goto(address(support));
    await page.waitForSelector(".figure");
    await page.click(".figure >> nth=0");
    await page.waitForSelector("dialog[open] .usage >> nth=1");
    const text = await page.locator("dialog[open]").innerText();
    const counted = calls(support);
    const tokens = counted.reduce((sum, call) => sum + call.input_tokens! + call.output_tokens!, 0);
    expect(text).toContain(tokens.toLocaleString("en-US"));
    expect(text).toContain(`${counted.length} calls counted once each`);
    expect(text).toContain("gpt-4.1");
    expect(text).toMatch(/× \$2 \/ 1M =/);
    await expectAccessible(page);
    await keepPicture(page, "trace-usage");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
  });

  it("searches, folds and copies raw JSON, in dark", async () => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.emulateMedia({ colorScheme: "dark" });
    const call = calls(support)[4]!;
    await page.goto(address(support, `?span=${call.id}&tab=raw`));
    await page.waitForSelector(".json-line");
    await page.fill(".json input", "temperature");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".json-line.at:has-text('temperature') mark");
    await page.click(".json-line.at .json-copy");
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("0.2");
    const lines = await page.locator(".json-line").count();
    await page.click(".json [aria-label='Fold all']");
    await page.waitForTimeout(50);
    expect(await page.locator(".json-line").count()).toBeLessThan(lines);
    await expectAccessible(page);
    await keepPicture(page, "span-raw-dark");
  });

  it("shows the failure with its type and message", async () => {
    const failed = support.find((span) => span.status === "ERROR")!;
    await page.goto(address(support, `?span=${failed.id}`));
    await page.waitForSelector(".failure");
    expect(await page.locator(".failure").innerText()).toContain("timed out after 400 ms");
  });

  it("shows payloads as text, whatever they hold", async () => {
    for (const tab of ["chat", "data", "details", "raw"]) {
      const call = hostile.find((span) => span.type === "COMPLETION")!;
      await page.goto(address(hostile, `?span=${call.id}&tab=${tab}`));
      await page.waitForSelector(".panel .tabs-panel > *");
      await page.waitForSelector(".message, .json-line, .details");
      const made = await page.evaluate(
        () =>
          document.querySelectorAll("main img, main script, main svg[onload], main a[href^=javascript]")
            .length,
      );
      expect(made).toBe(0);
    }
    expect(await page.locator(".panel-head h2").innerText()).toContain("<script>alert(2)</script>");
  });
});

describe("dark and light", () => {
  it("both have the contrast to be read", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.goto(address(support, `?span=${calls(support)[5]!.id}`));
    await page.waitForSelector(".message");
    await expectAccessible(page);
    await keepPicture(page, "trace-dark");
    await page.click("[aria-label^='Theme']");
    await page.waitForSelector("html[data-theme=light]");
    await expectAccessible(page);
    await page.reload();
    await page.waitForSelector("html[data-theme=light]");
  });
});
