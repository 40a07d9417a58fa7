import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeTrace } from "../runs";
import { expectAccessible, keepPicture, openBrowser, openChecked, Watch } from "./browser";
import { startServer, type TestServer } from "./server";

let browser: Browser;
let server: TestServer;
const keys = { admin: "", reader: "", writer: "" };
const now = Date.now() * 1000;
const ours = makeTrace({ seed: 31, start: now - 60e6, spans: 20, scenario: 0, account: "team-a" });
const theirs = makeTrace({ seed: 32, start: now - 90e6, spans: 20, scenario: 1, account: "team-b" });

beforeAll(async () => {
  browser = await openBrowser();
  server = await startServer();
  await server.write(ours);
  await server.write(theirs);
  keys.admin = server.makeKey("--role", "admin", "--all-accounts");
  keys.reader = server.makeKey("--role", "read", "--account", "team-a");
  keys.writer = server.makeKey("--role", "ingest", "--account", "team-a");
  // A running server looks at the file of keys several times a second.
  while ((await fetch(`${server.base}/api/info`)).status !== 401)
    await new Promise((go) => setTimeout(go, 50));
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

async function visit(): Promise<{ page: Page; watch: Watch; addresses: string[] }> {
  const page = await openChecked(browser);
  const watch = new Watch(page, server.base);
  const addresses: string[] = [];
  page.on("request", (request) => addresses.push(request.url()));
  await page.goto(server.base);
  await page.waitForSelector("dialog[open] input[name=key]");
  return { page, watch, addresses };
}

async function signIn(page: Page, key: string): Promise<void> {
  await page.fill("input[name=key]", key);
  await page.keyboard.press("Enter");
}

describe("keys", () => {
  it("are asked for, tried, kept out of the address, and gone after signing out", async () => {
    const { page, watch, addresses } = await visit();
    await expectAccessible(page);
    await keepPicture(page, "sign-in");
    await signIn(page, "endspan_wrong");
    await page.waitForSelector("[role=alert]:has-text('does not know this key')");
    await signIn(page, keys.writer);
    await page.waitForSelector("[role=alert]:has-text('may not read')");
    await signIn(page, keys.reader);
    await page.waitForSelector(".trace-line");
    await page.reload();
    await page.waitForSelector(".trace-line");
    await page.waitForSelector(".live-state.live");
    const secret = keys.reader.slice(-40);
    expect(addresses.concat(page.url()).filter((url) => url.includes(secret))).toEqual([]);
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain(secret);
    await page.click("text=Sign out");
    await page.waitForSelector("dialog[open] input[name=key]");
    expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain(secret);
    watch.check();
    await page.context().close();
  });

  it("of one account show that account alone, live", async () => {
    const { page, watch } = await visit();
    await signIn(page, keys.reader);
    await page.waitForSelector(".trace-line");
    await page.waitForSelector(".live-state.live");
    expect(await page.locator(".trace-line").count()).toBe(1);
    expect(await page.locator(".account-choice").count()).toBe(0);
    const late = ours.map((span) => ({ ...span, trace_id: "late", id: `late-${span.id}`, parent_id: null }));
    await server.write(late.slice(0, 1), { "x-api-key": keys.admin });
    await page.waitForSelector(".trace-line.fresh");
    await page.goto(`${server.base}/health`);
    await page.waitForSelector(".card:has-text('Account team-a')");
    expect(await page.locator(".card:has-text('Clients seen')").count()).toBe(0);
    await expectAccessible(page);
    watch.check();
    await page.context().close();
  });

  it("of all accounts choose one, and the page follows", async () => {
    const { page, watch } = await visit();
    await signIn(page, keys.admin);
    await page.waitForSelector(".trace-line:has-text('code-agent')");
    await page.waitForSelector(".account-choice");
    await page.selectOption(".account-choice", "team-a");
    await page.waitForSelector(".trace-line:has-text('code-agent')", { state: "detached" });
    await page.waitForSelector(".trace-line:has-text('support-agent')");
    await expectAccessible(page);
    await page.reload();
    await page.waitForSelector(".trace-line");
    expect(
      await page
        .locator(".account-choice")
        .inputValue()
        .catch(() => "team-a"),
    ).toBe("team-a");
    watch.check();
    await page.context().close();
  });

  it("of readers delete nothing; those of administrators ask first", async () => {
    const { page, watch } = await visit();
    await signIn(page, keys.reader);
    await page.waitForSelector(".trace-line");
    await page.goto(`${server.base}/traces/${ours[0]!.trace_id}`);
    await page.waitForSelector(".totals");
    await page.click("[aria-label='More about this trace']");
    await page.waitForSelector("[role=menuitem]:has-text('Download')");
    expect(await page.locator("[role=menuitem]:has-text('Delete')").count()).toBe(0);
    await page.keyboard.press("Escape");
    await page.locator(".line .name").first().click();
    await page.waitForSelector(".panel .tabs");
    expect(await page.locator("[aria-label='Assess the span']").count()).toBe(0);
    await page.click("text=Sign out");
    await page.waitForSelector("dialog[open] input[name=key]");
    await signIn(page, keys.admin);
    await page.waitForSelector(".totals");
    await page.waitForSelector(".account-choice");
    await page.click("[aria-label='More about this trace']");
    await page.click("[role=menuitem]:has-text('Delete')");
    await page.waitForSelector("dialog[open]:has-text('for good')");
    await expectAccessible(page);
    await keepPicture(page, "delete");
    await page.click("dialog[open] .button.danger");
    await page.waitForURL(`${server.base}/`);
    await page.waitForSelector(".trace-line");
    const gone = await fetch(`${server.base}/api/traces/${ours[0]!.trace_id}`, {
      headers: { "x-api-key": keys.admin },
    });
    expect(gone.status).toBe(404);
    watch.check();
    await page.context().close();
  });

  it("that were revoked are asked for again", async () => {
    const key = server.makeKey("--role", "read", "--account", "team-b");
    const { page } = await visit();
    await expect
      .poll(async () => (await fetch(`${server.base}/api/info`, { headers: { "x-api-key": key } })).status, {
        timeout: 20_000,
      })
      .toBe(200);
    await signIn(page, key);
    await page.waitForSelector(".trace-line");
    server.revokeKey(key);
    await expect
      .poll(async () => (await fetch(`${server.base}/api/info`, { headers: { "x-api-key": key } })).status, {
        timeout: 20_000,
      })
      .toBe(401);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog[open] input[name=key]");
    await page.context().close();
  });
});
