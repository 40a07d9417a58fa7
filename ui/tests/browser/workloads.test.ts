/** The pages with what others made: the demo's agents as they work, and the workload of the benchmarks. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { expectAccessible, keepPicture, openBrowser, openChecked, Watch } from "./browser";
import { program, startServer, type TestServer } from "./server";

let browser: Browser;
let page: Page;

beforeAll(async () => {
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
});

beforeEach(async () => {
  page = await openChecked(browser);
});

afterEach(async () => {
  await page.context().close();
});

/** Opens the panel of the first span of a kind and waits for what it says. */
async function openFirst(kind: string): Promise<string> {
  await page.locator(`.line:has(.kind-${kind}) .name`).first().click();
  await page.waitForSelector(".panel .tabs-panel .message, .panel .tabs-panel .json-line");
  return page.locator(".panel").innerText();
}

describe("the demo", () => {
  let demo: TestServer;

  beforeAll(async () => {
    demo = await startServer({ command: "demo" });
  });

  afterAll(async () => {
    await demo?.close();
  });

  it("shows agents at work: traces that slide in, chats, tools, failures", async () => {
    const watch = new Watch(page, demo.base);
    // What slides in is faint for a moment, which is no lack of contrast.
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.goto(demo.base);
    await page.waitForSelector(".trace-line.fresh");
    await page.waitForSelector(".trace-line .badge.error");
    await expectAccessible(page);
    await keepPicture(page, "demo-traces");
    await page.locator(".trace-line:has(.badge.error) .trace-name a").first().click();
    await page.waitForSelector(".totals");
    await page.keyboard.press("e");
    await page.waitForSelector(".line.at.failed");
    const chat = await openFirst("llm");
    expect(chat).toContain("gpt-4o");
    expect(await page.locator(".panel .message").count()).toBeGreaterThan(1);
    await expectAccessible(page);
    await keepPicture(page, "demo-chat");
    watch.check();
  });
});

describe("the benchmark workload", () => {
  let server: TestServer;
  const fill = join(dirname(program()), "fill");

  beforeAll(async () => {
    server = await startServer();
    if (!existsSync(fill)) throw new Error("build it first: cargo build -p endspan-bench --bin fill");
    execFileSync(fill, ["--server", new URL(server.base).host, "--spans", "4000", "--set", "llm"]);
  });

  afterAll(async () => {
    await server?.close();
  });

  it("lists thousands of spans' traces by pages, finds by text, shows a call", async () => {
    const watch = new Watch(page, server.base);
    await page.goto(server.base);
    await page.waitForSelector(".trace-line");
    await page.keyboard.press("End");
    await page.waitForSelector(".trace-scroll[aria-rowcount='201']");
    await page.keyboard.press("End");
    await page.waitForSelector("#trace-199.at");
    await page.fill(".filters input[type=search]", "search_docs");
    await page.waitForURL(/q=search_docs/);
    await page.waitForSelector(".trace-line");
    await page.locator(".trace-line .trace-name a").first().click();
    await page.waitForSelector(".totals");
    expect(await page.locator(".line").count()).toBeGreaterThan(10);
    expect(await openFirst("llm")).toMatch(/System[\s\S]*User[\s\S]*Answer/);
    await page.waitForSelector(".figure:has-text('$')");
    await expectAccessible(page);
    await keepPicture(page, "workload-call");
    watch.check();
  });
});
