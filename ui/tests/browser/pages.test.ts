import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { makeTrace } from "../runs";
import { expectAccessible, keepPicture, texts } from "./browser";
import type { TestServer } from "./server";
import { setStage } from "./stage";

let server: TestServer;
let page: Page;
const now = Date.now() * 1000;
const a = makeTrace({ seed: 3, start: now - 100e6, spans: 60, scenario: 0 });
const b = makeTrace({ seed: 4, start: now - 200e6, spans: 50, scenario: 0 });
const large = makeTrace({ seed: 12, start: now - 90_000e6, spans: 100_000, payloads: false });

setStage(
  async (server) => {
    await server.write(a);
    await server.write(b);
  },
  (stage) => {
    ({ server, page } = stage);
  },
);

describe("compare", () => {
  it("asks for two traces, aligns them and marks what differs", async () => {
    await page.goto(`${server.base}/compare`);
    await page.waitForSelector(".empty");
    await page.waitForSelector("option:has-text('support-agent')", { state: "attached" });
    await page.selectOption("select[aria-label='Trace A']", a[0]!.trace_id);
    await page.selectOption("select[aria-label='Trace B']", b[0]!.trace_id);
    await page.waitForSelector(".pair");
    const marks = new Set(await texts(page, ".pair-mark"));
    expect(
      [...marks].some((mark) => mark.includes("only in A")) ||
        [...marks].some((mark) => mark.includes("only in B")),
    ).toBe(true);
    const all = Number(await page.locator(".compare-scroll").getAttribute("aria-rowcount"));
    await page.click("text=Only differences");
    await page.waitForURL(/only=1/);
    expect(Number(await page.locator(".compare-scroll").getAttribute("aria-rowcount"))).toBeLessThan(all);
    await page.keyboard.press("n");
    await page.waitForSelector(".pair.at");
    await expectAccessible(page);
    await keepPicture(page, "compare");
  });

  it("finds a trace the same as itself", async () => {
    await page.goto(`${server.base}/compare?a=${a[0]!.trace_id}&b=${a[0]!.trace_id}&only=1`);
    await page.waitForSelector("text=The two traces have the same structure");
  });
});

describe("health", () => {
  it("shows rate, outcomes, store and clients, and accounts for every span", async () => {
    await page.goto(`${server.base}/health`);
    await page.waitForSelector(".card");
    expect((await texts(page, ".card h2")).slice(0, 3)).toEqual([
      "Spans received",
      "What became of them, since the start",
      "Rejected, by reason",
    ]);
    await page.waitForSelector("text=Every span is accounted for");
    expect(await page.locator(".card:has-text('Clients seen')").innerText()).not.toContain("gave up");
    // What a client says that it gave up is told apart from what was refused here.
    await server.write(a.slice(0, 1), {
      "user-agent": "endspan/0.1.0 (Rust)",
      "x-endspan-dropped": 'id="9f86d081884c7d65", queue_full=1200, expired=9',
    });
    const drops = page.locator(".drops");
    await drops.waitFor();
    const said = (await drops.innerText()).replace(/\s+/g, " ");
    expect(said).toContain("1 process of this client gave up 1,209 spans before they reached this server");
    expect(said).toContain(
      "1,200 queue_full Memory (ENDSPAN_QUEUE_MAX_BYTES) was full and there was no spool",
    );
    expect(said).toContain("9 expired The span waited longer than ENDSPAN_MAX_AGE_S.");
    await page.waitForSelector("text=Clients say that they gave up 1,209 more spans that never came here");
    expect(await page.locator("dl:has-text('Rejected') dd").nth(3).innerText()).toContain("0");
    await expectAccessible(page);
    await keepPicture(page, "health");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
    await expectAccessible(page);
    await keepPicture(page, "health-phone-dark");
  });
});

describe("a trace of 100,000 spans", () => {
  it("opens whole, scrolls to its end, finds failures and names", async () => {
    await server.write(large);
    await page.goto(`${server.base}/traces/${large[0]!.trace_id}`);
    await page.waitForSelector(".line", { timeout: 30_000 });
    await page.waitForSelector(".totals");
    expect(await page.locator(".figures").innerText()).toContain("100,001".slice(0, 3));
    const lines = Number(await page.locator(".tree-scroll").getAttribute("aria-rowcount"));
    expect(lines).toBeGreaterThan(50_000);
    // What is drawn is what is seen, not what there is.
    expect(await page.locator(".line").count()).toBeLessThan(80);
    await page.keyboard.press("End");
    await page.waitForSelector(`#line-${lines - 1}.at`);
    await page.keyboard.press("e");
    await page.waitForSelector(".line.at.failed");
    await page.fill(".trace-tools input", "calculator");
    await page.waitForSelector(".hits:has-text('hits')");
    await expectAccessible(page);
    await keepPicture(page, "trace-100000");
  });
});
