import { signal } from "@preact/signals";
import { readAccounts, readInfo } from "./client";
import type { InfoAnswer } from "./wire";

/** What the server says of itself and of the key that asks; null until it has answered. */
export const info = signal<InfoAnswer | null>(null);

/** The accounts that the reader can choose from. */
export const accounts = signal<readonly string[]>([]);

/** True when the reader may delete: with the role for it, or where the server asks for no keys. */
export function mayDelete(): boolean {
  const about = info.value;
  return about !== null && (!about.asks_for_keys || (about.key?.roles.includes("admin") ?? false));
}

/** True when the reader may say what a span is worth: with the role for writing, or where the server asks for no keys. */
export function mayAssess(): boolean {
  const about = info.value;
  return about !== null && (!about.asks_for_keys || (about.key?.roles.includes("ingest") ?? false));
}

/** Asks who is asking. Nothing waits for it: without an answer there is nothing to choose from. */
export async function identify(): Promise<void> {
  try {
    info.value = await readInfo();
    accounts.value = info.value.key?.account
      ? [info.value.key.account]
      : (await readAccounts()).map((account) => account.account);
  } catch {
    accounts.value = [];
  }
}
