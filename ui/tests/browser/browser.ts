import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

/** Debian's Chromium without a head. It asks nobody outside for anything. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Opens a page in a context of its own. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  // Functions handed to the page may have been compiled to keep their names by this call.
  await context.addInitScript("globalThis.__name = (value) => value");
  const page = await context.newPage();
  // A loaded machine may take its time: what is waited for comes, or never does.
  page.setDefaultTimeout(120_000);
  return page;
}

/** What a page must never do: fail, break its policy, or speak to another host. */
export class Watch {
  readonly complaints: string[] = [];

  constructor(page: Page, base: string) {
    page.on("pageerror", (error) => this.complaints.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      const text = message.text();
      // A refused request is the test's own doing, or is shown by the page in its own words.
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) {
        this.complaints.push(`console: ${text}`);
      }
    });
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== "blob:" && protocol !== "data:" && origin !== base)
        this.complaints.push(`request: ${request.url()}`);
    });
  }

  check(): void {
    expect(this.complaints).toEqual([]);
  }
}

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

interface Violation {
  id: string;
  help: string;
  nodes: { html: string; failureSummary?: string }[];
}

/** Opens a page that can be checked for accessibility. */
export async function openChecked(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await openPage(browser, options);
  await page.addInitScript({ path: axe });
  return page;
}

/** Holds what is on the page to WCAG 2.2 A and AA, as far as a program can. */
export async function expectAccessible(page: Page): Promise<void> {
  const violations = await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: (options: object) => Promise<{ violations: Violation[] }> };
    };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    return (await axe.run({ runOnly: { type: "tag", values: tags } })).violations;
  });
  const said = violations.map(
    (violation) =>
      `${violation.id}: ${violation.help}\n${violation.nodes
        .slice(0, 4)
        .map(
          (node) =>
            `    ${node.html.slice(0, 200)}\n    ${node.failureSummary?.replace(/\n/g, " ").slice(0, 300)}`,
        )
        .join("\n")}`,
  );
  expect(said.join("\n")).toBe("");
}

const artifacts = fileURLToPath(new URL("../../artifacts/", import.meta.url));

/** Keeps a picture of the page for people to look at. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  mkdirSync(artifacts, { recursive: true });
  await page.screenshot({ path: `${artifacts}${name}.png` });
}

/** Texts of all elements that a selector names. */
export async function texts(page: Page, selector: string): Promise<string[]> {
  return page.locator(selector).allInnerTexts();
}
