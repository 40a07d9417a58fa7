import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { MockSpan } from "../../mock/generate";
import { send } from "../../mock/send";
import { MockServer } from "../../mock/server";

/** A server with pages, that spans can be written to. */
export interface TestServer {
  base: string;
  /** Where clients write to. */
  api: string;
  /** True for the span server itself; false for the stand-in. */
  real: boolean;
  write(spans: MockSpan[]): Promise<void>;
  close(): Promise<void>;
}

const dist = fileURLToPath(new URL("../../dist", import.meta.url));

/**
 * Starts the span server named by `ENDSPAN_BIN` in a directory of its own, or the stand-in when none is named.
 * The same tests run against both.
 */
export async function startServer(): Promise<TestServer> {
  const binary = process.env.ENDSPAN_BIN;
  return binary ? startReal(binary) : startStandIn();
}

export async function startStandIn(options: { key?: string } = {}): Promise<TestServer> {
  const server = new MockServer({ dist, ...options });
  const base = await server.listen();
  return {
    base,
    api: base,
    real: false,
    write: async (spans) => {
      const known = server.traces.has(spans[0]!.trace_id);
      if (!known && spans.length > 1) server.add(spans);
      else for (const span of spans) server.upsert(span);
    },
    close: () => server.close(),
  };
}

async function startReal(binary: string): Promise<TestServer> {
  const data = mkdtempSync(join(tmpdir(), "endspan-ui-"));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data", data], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const base = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      const match = /http:\/\/[\d.:]+/.exec(said);
      if (match) resolve(match[0]);
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  // Until the server carries the pages itself, they are served beside it.
  const page = await fetch(base, { headers: { accept: "text/html" } });
  await page.arrayBuffer();
  const front = page.ok ? null : new MockServer({ dist, upstream: base });
  return {
    base: front ? await front.listen() : base,
    api: base,
    real: true,
    write: (spans) => send(base, spans),
    close: async () => {
      await front?.close();
      child.kill("SIGTERM");
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}
