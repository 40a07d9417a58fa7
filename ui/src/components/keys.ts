import { useEffect, useRef } from "preact/hooks";

/** Everything the keyboard does, for the help page and for the tests that hold it to its word. */
export const SHORTCUTS: { place: string; keys: [string, string][] }[] = [
  {
    place: "Everywhere",
    keys: [
      ["?", "This help"],
      ["g t", "Traces"],
      ["g c", "Compare"],
      ["g h", "Health"],
      ["/", "Search or filter"],
      ["Esc", "Close, clear, step out"],
    ],
  },
  {
    place: "Traces",
    keys: [
      ["↑ ↓ or k j", "Previous, next trace"],
      ["PgUp PgDn Home End", "Move by pages, to the ends"],
      ["Enter", "Open the trace"],
      ["x", "Pick for comparison"],
    ],
  },
  {
    place: "Trace",
    keys: [
      ["↑ ↓ or k j", "Previous, next line"],
      ["← →", "Fold, unfold, step out, step in"],
      ["Enter", "Open the span"],
      ["e, E", "Next, previous error"],
      ["n, N", "Next, previous search hit"],
      ["r", "Fold or unfold repeats"],
      ["p", "Critical path"],
      ["f", "Timeline follows the lines in view, or shows all"],
      ["* and -", "Unfold all, fold all"],
      ["z", "Zoom to the span; again for the whole trace"],
      ["c", "Copy a link to this view"],
    ],
  },
  {
    place: "Span",
    keys: [
      ["1 to 5", "Chat, Data, Details, Diff, Raw"],
      ["[ and ]", "Previous, next call of the conversation"],
      ["u", "Parent"],
    ],
  },
];

type Handler = (event: KeyboardEvent) => void;

function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLElement && target.isContentEditable)
  );
}

/** Acts on keys while the component is shown, unless the reader types or a dialog is open. */
export function useKeys(handlers: Record<string, Handler>): void {
  const current = useRef(handlers);
  current.current = handlers;
  useEffect(() => {
    let prefix = "";
    let since = 0;
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector("dialog[open], [role=menu]:not([hidden])")) return;
      if (typing(event.target) && event.key !== "Escape") return;
      const now = performance.now();
      const chord = prefix !== "" && now - since < 1000 ? `${prefix} ${event.key}` : "";
      const handler = (chord && current.current[chord]) || current.current[event.key];
      prefix = event.key.length === 1 ? event.key : "";
      since = now;
      if (!handler) return;
      // Keys that work a focused control stay with it.
      const onControl =
        event.target instanceof Element && event.target.closest("button, a[href], [role=tab], summary");
      if (onControl && (event.key === "Enter" || event.key === " ")) return;
      if (event.target instanceof Element && event.target.closest("[role=tablist], [role=separator]")) {
        if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") return;
      }
      event.preventDefault();
      handler(event);
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}

/** The keys that move a cursor through a list: by one, by a page, and to its ends. */
export function moveKeys(
  at: number,
  count: number,
  page: number,
  move: (to: number) => void,
): Record<string, () => void> {
  const next = () => move(at + 1);
  const previous = () => move(at - 1);
  return {
    ArrowDown: next,
    j: next,
    ArrowUp: previous,
    k: previous,
    PageDown: () => move(at + page),
    PageUp: () => move(at - page),
    Home: () => move(0),
    End: () => move(count - 1),
  };
}
