import { signal } from "@preact/signals";

/**
 * The API key of this tab. It lives in memory and in `sessionStorage`, which ends with the tab; never in a URL,
 * never in a log, never in storage that outlives the visit.
 */
const STORAGE = "endspan.key";
const ACCOUNT = "endspan.account";

function read(name: string): string | null {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null; // Storage is switched off: the key lives in memory alone.
  }
}

function write(name: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, value);
  } catch {
    // As above.
  }
}

let key = read(STORAGE);

/** The account whose traces are read; null for every account that the key may read. */
export const account = signal<string | null>(read(ACCOUNT));

/** True while the server wants a key that it has not been given. */
export const signInNeeded = signal(false);
export const signedIn = signal(key !== null);

export function signIn(newKey: string): void {
  key = newKey;
  write(STORAGE, newKey);
  chooseAccount(null);
  signedIn.value = true;
  signInNeeded.value = false;
}

/** Chooses the account that is read from now on; null for all. */
export function chooseAccount(chosen: string | null): void {
  account.value = chosen;
  write(ACCOUNT, chosen);
}

export function signOut(): void {
  key = null;
  write(STORAGE, null);
  chooseAccount(null);
  signedIn.value = false;
  signInNeeded.value = true;
}

/** The headers that say who asks. */
export function credentials(): Record<string, string> {
  const headers: Record<string, string> = {};
  if (key !== null) headers["x-api-key"] = key;
  if (account.value !== null) headers["x-selected-account-id"] = account.value;
  return headers;
}
