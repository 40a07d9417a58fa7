import type { Browser, Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { makeTrace, type SampleSpan } from "../runs";
import { expectAccessible, keepPicture, openChecked, texts } from "./browser";
import { startServer, type TestServer } from "./server";
import { setStage } from "./stage";

let browser: Browser;
let server: TestServer;
let page: Page;
const now = Date.now() * 1000;
const runs = Array.from({ length: 40 }, (_, i) => makeTrace({ seed: 400 + i, start: now - 60e6 - i * 30e6 }));
const running = makeTrace({ seed: 5, start: now - 20e6, spans: 12, scenario: 1, running: true });

setStage(
  async (server) => {
    for (const run of runs) await server.write(run);
    await server.write(running);
  },
  (stage) => {
    ({ browser, server, page } = stage);
  },
);

function plain(name: string, trace: string): SampleSpan {
  const start = Date.now() * 1000 - 1000;
  return {
    ...runs[0]![0]!,
    trace_id: trace,
    id: `${trace}-root`,
    parent_id: null,
    name,
    start,
    end: start + 900,
    input: { message: `hello from ${name}` },
    output: null,
  };
}

describe("traces page", () => {
  it("lists traces newest first, with what runs on top", async () => {
    await page.goto(server.base);
    await page.waitForSelector(".trace-line");
    expect(await page.title()).toBe("Traces · endspan");
    const first = page.locator(".trace-line").first();
    expect(await first.innerText()).toContain("code-agent");
    expect(await first.locator(".pulse").count()).toBe(1);
    const ids = await page
      .locator(".trace-line .mono")
      .evaluateAll((cells) => cells.map((cell) => cell.getAttribute("title")));
    expect(ids.slice(1, 6)).toEqual(runs.slice(0, 5).map((run) => run[0]!.trace_id));
    await expectAccessible(page);
    await keepPicture(page, "traces");
  });

  it("is worked by keyboard: down, down, open, back", async () => {
    await page.goto(server.base);
    await page.waitForSelector(".trace-line");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("j");
    expect(await page.locator("[aria-activedescendant]").getAttribute("aria-activedescendant")).toBe(
      "trace-1",
    );
    expect(await page.locator("#trace-1").getAttribute("aria-selected")).toBe("true");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".tree");
    expect(new URL(page.url()).pathname).toBe(`/traces/${runs[0]![0]!.trace_id}`);
    await page.goBack();
    await page.waitForSelector(".trace-line");
  });

  it("shows a trace that begins while it is open, without being asked", async () => {
    await page.goto(server.base);
    await page.waitForSelector(".live-state.live");
    await server.write([plain("newcomer", "live-1")]);
    await page.waitForSelector(".trace-line.fresh:has-text('newcomer')");
  });

  it("leaves the rows of a reader who scrolled where they are", async () => {
    await page.goto(server.base);
    await page.waitForSelector(".live-state.live");
    await page.waitForSelector(".trace-line");
    await page.locator(".trace-scroll").evaluate((element) => {
      element.scrollTop = 400;
    });
    await page.waitForTimeout(100);
    const top = () =>
      page.evaluate(() => {
        const area = document.querySelector(".trace-scroll")!.getBoundingClientRect();
        return document
          .elementFromPoint(area.left + 300, area.top + 60)
          ?.closest(".trace-line")
          ?.querySelector(".mono")
          ?.getAttribute("title");
      });
    const before = await top();
    await server.write([plain("unseen", "live-2")]);
    await page.waitForSelector(".new-pill");
    expect(await top()).toBe(before);
    await page.click(".new-pill");
    await page.waitForSelector(".trace-line:has-text('unseen')");
  });

  it("keeps filters in the address and gives them back", async () => {
    await page.goto(`${server.base}/?status=error&period=24h&min_ms=5`);
    await page.waitForSelector(".trace-line, .empty");
    expect(await page.locator(".segments [aria-pressed=true]").innerText()).toBe("Errors");
    expect(await page.locator("select[aria-label=Started]").inputValue()).toBe("24h");
    expect(await page.locator(".filter-more input").nth(2).inputValue()).toBe("5");
    await page.fill(".filters input[type=search]", "tent");
    await page.waitForURL(/q=tent/);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.waitForURL(`${server.base}/`);
  });

  it("finds traces by words of their payloads, and phrases in quotes", async () => {
    await page.goto(server.base);
    await page.waitForSelector(".trace-line");
    const names = async () => [...new Set(await page.locator(".trace-line .trace-name a").allInnerTexts())];
    expect((await names()).length).toBeGreaterThan(1);
    await page.fill(".filters input[type=search]", "pole Northwind");
    await expect.poll(names, { timeout: 20_000 }).toEqual(["support-agent"]);
    await page.fill(".filters input[type=search]", '"broken pole"');
    await page.waitForURL(/q=%22broken/);
    await page.waitForSelector(".trace-line");
    await page.fill(".filters input[type=search]", '"pole broken"');
    await page.waitForSelector(".empty h1:has-text('No trace matches')");
  });

  it("begins with lines that work, and shows what they send", async () => {
    const empty = await startServer();
    const fresh = await openChecked(browser);
    await fresh.goto(empty.base);
    await fresh.waitForSelector(".empty .snippet");
    await fresh.waitForSelector(".live-state.live", { timeout: 10_000 });
    await expectAccessible(fresh);
    await keepPicture(fresh, "traces-empty");
    const curl = (await texts(fresh, ".snippet"))[0]!;
    const response = await fetch(`${empty.base}/spans`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: /-d '([^']+)'/.exec(curl)![1]!,
    });
    expect(response.status).toBe(200);
    await fresh.waitForSelector(".trace-line:has-text('hello')");
    await fresh.context().close();
    await empty.close();
  });

  it("is usable on a phone", async () => {
    const phone = await openChecked(browser, { viewport: { width: 390, height: 844 }, colorScheme: "dark" });
    await phone.goto(server.base);
    await phone.waitForSelector(".trace-line");
    const overflow = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    await expectAccessible(phone);
    await keepPicture(phone, "traces-phone-dark");
    await phone.context().close();
  });

  it("opens help on ? and lists every key that the pages know", async () => {
    await page.goto(server.base);
    await page.waitForSelector(".trace-line");
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open]");
    expect((await texts(page, ".keys h3")).length).toBe(4);
    await expectAccessible(page);
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
  });
});
