import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SampleSpan } from "../runs";
import { send } from "../send";

/** A span server with its pages, that spans can be written to. */
export interface TestServer {
  base: string;
  write(spans: SampleSpan[], headers?: Record<string, string>): Promise<void>;
  /** Makes an API key with `endspan keys create`; the server asks for keys from the first one on. */
  makeKey(...options: string[]): string;
  /** Takes a key away. */
  revokeKey(secret: string): void;
  close(): Promise<void>;
}

/** The span server's program. */
export function program(): string {
  const path = process.env.ENDSPAN_BIN;
  if (path) return path;
  throw new Error("name the span server's program in ENDSPAN_BIN, for example ../target/debug/endspan");
}

/** Starts a program of the span server in a directory of its own, and waits until it says its address. */
export async function startServer(
  options: { command?: string; arguments?: string[] } = {},
): Promise<TestServer> {
  const data = mkdtempSync(join(tmpdir(), "endspan-ui-"));
  const rest = options.arguments ?? [];
  const child = spawn(
    program(),
    [options.command ?? "serve", "--listen", "127.0.0.1:0", "--data", data, "--log", "warn", ...rest],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const base = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (bytes: Buffer) => {
      if (said.length < 10_000) said += bytes.toString();
      const match = /http:\/\/[\d.:]+\d/.exec(said);
      if (match) resolve(match[0]);
    });
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  const keys = (...words: string[]) =>
    execFileSync(program(), ["keys", ...words, "--data", data], { encoding: "utf8" });
  return {
    base,
    write: (spans, headers) => send(base, spans, headers),
    makeKey: (...words) => /endspan_\S+/.exec(keys("create", ...words))![0],
    revokeKey: (secret) => {
      keys("revoke", secret.split("_")[1]!.slice(0, 8));
    },
    close: async () => {
      child.kill("SIGTERM");
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}
