import { effect, signal } from "@preact/signals";

function stored<T>(name: string, fallback: T, check: (value: unknown) => value is T) {
  let first = fallback;
  try {
    const text = localStorage.getItem(`endspan.${name}`);
    if (text !== null) {
      const value: unknown = JSON.parse(text);
      if (check(value)) first = value;
    }
  } catch {
    // No storage or no sense in it: the default does.
  }
  const value = signal<T>(first);
  effect(() => {
    try {
      localStorage.setItem(`endspan.${name}`, JSON.stringify(value.value));
    } catch {
      // Settings then last as long as the page.
    }
  });
  return value;
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
export type Theme = "auto" | "light" | "dark";

export const theme = stored<Theme>("theme", "auto", (value): value is Theme =>
  ["auto", "light", "dark"].includes(value as string),
);
/** Share of the width that the tree takes beside the timeline, and the span panel beside both. Percent. */
export const treeShare = stored("tree", 46, isNumber);
export const panelShare = stored("panel", 46, isNumber);

effect(() => {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
});
