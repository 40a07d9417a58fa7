import { type ReadonlySignal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Code that the first picture does without. */
export interface Later<C> {
  /** The code, once it has arrived. */
  readonly code: ReadonlySignal<C | null>;
  /** Asks for it, once. What fails is asked for again the next time. */
  readonly ask: () => void;
}

export function later<C>(load: () => Promise<C>): Later<C> {
  const code = signal<C | null>(null);
  let asked = false;
  return {
    code,
    ask: () => {
      if (asked) return;
      asked = true;
      load().then(
        (arrived) => {
          code.value = arrived;
        },
        () => {
          asked = false;
        },
      );
    },
  };
}

/** Runs something once the picture that is being made has been drawn. */
export function afterPicture(run: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const frame = requestAnimationFrame(() => {
    timer = setTimeout(run);
  });
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
}

/** The code, which is asked for after the first picture, or `now`. */
export function useLater<C>(wanted: Later<C>, now = false): C | null {
  useEffect(() => {
    if (now) wanted.ask();
    return now ? undefined : afterPicture(wanted.ask);
  }, [wanted, now]);
  return wanted.code.value;
}
