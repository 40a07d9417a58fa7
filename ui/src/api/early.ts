/**
 * An answer that is asked for before the page that shows it has arrived, so that its code and its data travel
 * together.
 */
let early: { key: string; answer: Promise<unknown> } | null = null;

export function askEarly(key: string, answer: Promise<unknown>): void {
  answer.catch(() => {}); // Whoever takes the answer hears of it.
  early = { key, answer };
}

/** The answer that was asked for early, once; null when there is none for this key. */
export function takeEarly<T>(key: string): Promise<T> | null {
  const taken = early?.key === key ? (early.answer as Promise<T>) : null;
  early = null;
  return taken;
}
