import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { openBrowser, openChecked, Watch } from "./browser";
import { startServer, type TestServer } from "./server";

/** What a test of a page works with. */
export interface Stage {
  browser: Browser;
  server: TestServer;
  page: Page;
}

/**
 * Gives the tests of a file one browser and one server with what `seed` writes, and each test a fresh page that is held
 * to what a page must never do. `enter` is told before each test.
 */
export function setStage(seed: (server: TestServer) => Promise<void>, enter: (stage: Stage) => void): void {
  let browser: Browser;
  let server: TestServer;
  let page: Page;
  let watch: Watch;

  beforeAll(async () => {
    browser = await openBrowser();
    server = await startServer();
    await seed(server);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  beforeEach(async () => {
    page = await openChecked(browser);
    watch = new Watch(page, server.base);
    enter({ browser, server, page });
  });

  afterEach(async () => {
    await page.context().close();
    watch.check();
  });
}
