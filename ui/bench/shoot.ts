/**
 * Takes pictures of pages: `tsx bench/shoot.ts <base> <name>=<path>[,option...] ...` into `artifacts/`.
 * Options: phone, dark, wait=<ms>, keys=<key+key>.
 */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openBrowser } from "../tests/browser/browser";

const out = fileURLToPath(new URL("../artifacts/", import.meta.url));
mkdirSync(out, { recursive: true });
const [base, ...shots] = process.argv.slice(2);
const browser = await openBrowser();
for (const shot of shots) {
  const [name, rest] = shot.split(/=(.*)/s) as [string, string];
  const [path, ...options] = rest.split(";");
  const value = (option: string) => options.find((o) => o.startsWith(`${option}=`))?.split("=")[1];
  const context = await browser.newContext({
    viewport: options.includes("phone") ? { width: 390, height: 844 } : { width: 1440, height: 900 },
    colorScheme: options.includes("dark") ? "dark" : "light",
    deviceScaleFactor: options.includes("phone") ? 2 : 1,
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") console.log(`${name}: ${message.text()}`);
  });
  page.on("pageerror", (error) => console.log(`${name}: ${error.stack}`));
  await page.goto(new URL(path!, base).href);
  await page.waitForTimeout(Number(value("wait") ?? 900));
  for (const key of value("keys")?.split("+") ?? []) {
    if (key.startsWith("click:")) await page.click(key.slice(6));
    else if (key.startsWith("type:")) await page.keyboard.type(key.slice(5));
    else await page.keyboard.press(key);
    await page.waitForTimeout(250);
  }
  await page.screenshot({ path: `${out}${name}.png` });
  await context.close();
}
await browser.close();
