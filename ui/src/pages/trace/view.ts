import { signal } from "@preact/signals";
import { ALL_OPEN, type Folding } from "../../model/rows";
import { place, setQuery } from "../../router";

/** Everything that the reader has chosen on the trace page. All of it is in the address. */
export interface View {
  /** The span whose panel is open. */
  span: string | null;
  tab: string | null;
  query: string;
  /** The stretch of time that the timeline shows, in microseconds since the trace's base; null for all. */
  zoom: readonly [number, number] | null;
  /** True when the timeline shows the stretch of the lines in view; null leaves it to the trace's size. */
  fit: boolean | null;
  folding: Folding;
  path: boolean;
}

/** More ids than this would make an address that no one can send: the rest is left out of it. */
const MOST_IDS = 40;
const WRITE_MS = 150;

export function parseView(search: URLSearchParams): View {
  const zoom = /^(-?\d+)~(-?\d+)$/.exec(search.get("zoom") ?? "");
  const depth = search.get("depth");
  return {
    span: search.get("span"),
    tab: search.get("tab"),
    query: search.get("q") ?? "",
    zoom: zoom && Number(zoom[1]) < Number(zoom[2]) ? [Number(zoom[1]), Number(zoom[2])] : null,
    folding: {
      openDepth: depth !== null && /^\d+$/.test(depth) ? Number(depth) : ALL_OPEN.openDepth,
      exceptions: new Set(search.getAll("x")),
      openGroups: new Set(search.getAll("g")),
      foldRepeats: search.get("repeats") !== "0",
    },
    fit: search.has("fit") ? search.get("fit") !== "0" : null,
    path: search.get("path") !== "0",
  };
}

export function formatView(view: View): Record<string, string | null | readonly string[]> {
  const { folding } = view;
  return {
    span: view.span,
    tab: view.span === null ? null : view.tab,
    q: view.query,
    zoom: view.zoom ? `${Math.round(view.zoom[0])}~${Math.round(view.zoom[1])}` : null,
    fit: view.fit === null ? null : view.fit ? "1" : "0",
    depth: Number.isFinite(folding.openDepth) ? String(folding.openDepth) : null,
    x: [...folding.exceptions].slice(0, MOST_IDS),
    g: [...folding.openGroups].slice(0, MOST_IDS),
    repeats: folding.foldRepeats ? null : "0",
    path: view.path ? null : "0",
  };
}

/** The view as a signal that writes itself into the address, and follows the browser's back and forward. */
export function createView() {
  const view = signal(parseView(place.value.search));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let written = location.href;
  const write = () => {
    timer = undefined;
    setQuery(formatView(view.peek()), "replace");
    written = location.href;
  };
  return {
    view,
    update(changes: Partial<View>): void {
      view.value = { ...view.peek(), ...changes };
      timer ??= setTimeout(write, WRITE_MS);
    },
    /** Brings the address up to date now, for copying it. */
    flush(): void {
      if (timer !== undefined) {
        clearTimeout(timer);
        write();
      }
    },
    follow(): () => void {
      const read = () => {
        if (location.href !== written) view.value = parseView(place.value.search);
        written = location.href;
      };
      addEventListener("popstate", read);
      return () => {
        removeEventListener("popstate", read);
        clearTimeout(timer);
      };
    },
  };
}
