/**
 * Measures the pages in headless Chromium and prints each figure with its limit:
 *
 *     cargo build --release --workspace --bins
 *     ENDSPAN_BIN=../target/release/endspan npm run bench
 *
 * Starts the server, fills it with 1,000,000 spans of the benchmark workload (`--spans N` for another number) and with
 * traces of 1,000 and 100,000 spans. `--server http://127.0.0.1:5003` measures a running server as it is, with these
 * two traces added. Loads are fresh ones: new browser contexts without caches. Ends with 1 when a limit is missed.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { openBrowser, openPage } from "../tests/browser/browser";
import { program, startServer } from "../tests/browser/server";
import { makeTrace } from "../tests/runs";
import { send } from "../tests/send";

const { values: options } = parseArgs({
  options: { spans: { type: "string", default: "1000000" }, server: { type: "string" } },
});
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const ROUNDS = 7;

const started = options.server ? null : await startServer();
const base = options.server ?? started!.base;
if (!options.server) {
  const fill = join(dirname(program()), "fill");
  if (!existsSync(fill))
    throw new Error("build the filler first: cargo build --release -p endspan-bench --bin fill");
  console.log(
    execFileSync(fill, ["--server", new URL(base).host, "--spans", options.spans], { encoding: "utf8" }),
  );
}
const start = (Date.now() - 3_600_000) * 1000;
const small = makeTrace({ seed: 11, start, spans: 1000 });
const large = makeTrace({ seed: 12, start, spans: 100_000, payloads: false });
await send(base, small);
await send(base, large);
for (let i = 0; i < 60; i++) await send(base, makeTrace({ seed: 2000 + i, start: start - i * 1e7 }));
const stats = async () =>
  (await (await fetch(`${base}/api/stats`)).json()) as { spans: number; disk_bytes: number };
// The store tidies up after a million spans; it is at rest when its size has not changed for five seconds.
for (let bytes = 0, same = 0, tries = 0; same < 5 && tries < 120; tries++) {
  const now = (await stats()).disk_bytes;
  same = now === bytes ? same + 1 : 0;
  bytes = now;
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
const stored = (await stats()).spans;

const rows: [string, string, string, string][] = [];
let missed = 0;
/** Notes a figure; with a limit it must stay below it, or for `atLeast` reach it. */
const record = (what: string, value: number, unit: string, limit?: number, atLeast = false, note = "") => {
  const shown = (number: number) => `${number.toLocaleString("en-US", { maximumFractionDigits: 1 })} ${unit}`;
  const good = limit === undefined || (atLeast ? value >= limit : value < limit);
  if (!good) missed++;
  const goal = limit === undefined ? "" : `${atLeast ? ">=" : "<"} ${shown(limit)}`;
  rows.push([what, shown(value) + note, goal, limit === undefined ? "" : good ? "ok" : "MISSED"]);
};
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

/** Milliseconds from the start of the navigation until an element is there and drawn. */
async function shown(browser: Browser, path: string, selector: string): Promise<number> {
  const page = await openPage(browser);
  await page.addInitScript((wanted) => {
    const look = () => {
      if (document.querySelector(wanted)) {
        requestAnimationFrame(() => {
          setTimeout(() => {
            (window as unknown as { shownAt: number }).shownAt = performance.now();
          });
        });
      } else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, selector);
  await page.goto(base + path);
  // Not `waitForFunction`: it needs `eval`, which the pages' policy forbids.
  const at = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const look = () => {
          const { shownAt } = window as unknown as { shownAt?: number };
          if (shownAt === undefined) setTimeout(look, 20);
          else resolve(shownAt);
        };
        look();
      }),
  );
  await page.context().close();
  return at;
}

async function medianShown(browser: Browser, path: string, selector: string): Promise<number> {
  await shown(browser, path, selector);
  const values: number[] = [];
  for (let i = 0; i < ROUNDS; i++) values.push(await shown(browser, path, selector));
  return median(values);
}

/** Scrolls for three seconds by `step` pixels a frame; frames a second and the slowest frames. */
async function scroll(
  page: Page,
  selector: string,
  step: number,
): Promise<{ fps: number; p95: number; blank: number }> {
  return page.evaluate(
    ([target, by]) =>
      new Promise<{ fps: number; p95: number; blank: number }>((resolve) => {
        const element = document.querySelector(target as string)!;
        const frames: number[] = [];
        let blank = 0;
        let last = performance.now();
        const began = last;
        const tick = (now: number) => {
          frames.push(now - last);
          last = now;
          const area = element.getBoundingClientRect();
          const middle = document.elementFromPoint(area.left + 60, area.top + area.height / 2);
          if (!middle?.closest("[role=row]")) blank++;
          element.scrollTop += by as number;
          if (now - began < 3000) requestAnimationFrame(tick);
          else {
            frames.shift();
            const total = frames.reduce((a, b) => a + b, 0);
            frames.sort((a, b) => a - b);
            resolve({
              fps: (frames.length * 1000) / total,
              p95: frames[Math.floor(frames.length * 0.95)]!,
              blank,
            });
          }
        };
        requestAnimationFrame(tick);
      }),
    [selector, step] as const,
  );
}

// What the first page loads, as it travels.
const html = readFileSync(`${dist}/index.html`, "utf8");
const first = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((match) => match[1]!);
const packed = (path: string) => gzipSync(readFileSync(path), { level: 9 }).length;
const firstBytes = first.reduce((sum, path) => sum + packed(dist + path), packed(`${dist}/index.html`));
const allBytes = readdirSync(`${dist}/assets`).reduce(
  (sum, name) => sum + packed(`${dist}/assets/${name}`),
  0,
);
record("bundle of the first page, gzip", firstBytes / 1000, "kB", 250);
record("whole bundle, gzip", allBytes / 1000, "kB");

const browser = await openBrowser();
record(
  `first list of ${stored.toLocaleString("en-US")} stored spans painted`,
  await medianShown(browser, "/", ".trace-line"),
  "ms",
  500,
);
const smallPath = `/traces/${small[0]!.trace_id}`;
const largePath = `/traces/${large[0]!.trace_id}`;
record("1,000 spans: tree painted", await medianShown(browser, smallPath, ".line"), "ms", 400);
record("1,000 spans: totals too", await medianShown(browser, smallPath, ".totals"), "ms", 400);
record("100,000 spans: tree painted", await medianShown(browser, largePath, ".line"), "ms", 1500);
record("100,000 spans: totals too", await medianShown(browser, largePath, ".totals"), "ms", 1500);

const page = await openPage(browser);
await page.goto(base + largePath);
await page.waitForSelector(".totals");
await page.waitForTimeout(500);
for (const [name, step] of [
  ["steady, 60 px a frame", 60],
  ["fast, 3,000 px a frame", 3000],
] as const) {
  const { fps, p95, blank } = await scroll(page, ".tree-scroll", step);
  record(`100,000 spans: scroll ${name}`, fps, "fps", 50, true, `, p95 ${p95.toFixed(0)} ms, ${blank} blank`);
}
const reaction = async (what: string, act: () => Promise<void>, done: string) => {
  const began = performance.now();
  await act();
  await page.waitForSelector(done);
  record(what, performance.now() - began, "ms");
};
await reaction("100,000 spans: next error", () => page.keyboard.press("e"), ".line.at.failed");
await page.fill(".trace-tools input", "calculator");
await reaction("100,000 spans: search 'calculator'", async () => {}, ".hits:has-text('hits')");
const memory = await page.evaluate(
  () => (performance as unknown as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? 0,
);
record("100,000 spans: script heap", memory / 1e6, "MB");
await page.context().close();

// A span that ends while the trace is open.
const live = makeTrace({ seed: 77, start: Date.now() * 1000 - 5e6, spans: 30, running: true });
await send(base, live);
const watcher = await openPage(browser);
await watcher.goto(`${base}/traces/${live[0]!.trace_id}`);
await watcher.waitForSelector(".live-state.live");
const lags: number[] = [];
for (let i = 0; i < 7; i++) {
  const name = `probe_${i}_x`;
  const span = {
    ...live[0]!,
    id: `probe-${i}`,
    parent_id: live[0]!.id,
    name,
    type: "CUSTOM",
    end: Date.now() * 1000,
    start: Date.now() * 1000 - 4e5,
    status: "SUCCESS",
  };
  const waiting = watcher.evaluate(
    (wanted) =>
      new Promise<void>((resolve) => {
        const look = () => {
          const there = [...document.querySelectorAll(".line .name")].some(
            (element) => element.textContent === wanted,
          );
          if (there) resolve();
          else requestAnimationFrame(look);
        };
        look();
      }),
    name,
  );
  await new Promise((resolve) => setTimeout(resolve, 150));
  const began = performance.now();
  await send(base, [span]);
  await waiting;
  lags.push(performance.now() - began);
  if (i === 2) await watcher.keyboard.press("r");
}
record(
  "a span that ended is on screen",
  median(lags),
  "ms",
  500,
  false,
  `, at worst ${Math.round(Math.max(...lags))} ms`,
);
await browser.close();
await started?.close();

const table = [["what", "measured", "goal", ""], ["---", "---", "---", "---"], ...rows];
for (const row of table) console.log(`| ${row.join(" | ")} |`);
process.exitCode = missed === 0 ? 0 : 1;
