import { signal } from "@preact/signals";

export interface Place {
  path: string;
  search: URLSearchParams;
}

function read(): Place {
  return { path: location.pathname, search: new URLSearchParams(location.search) };
}

/** Where the reader is. Every state that is worth sending to a colleague lives here. */
export const place = signal<Place>(read());

export function navigate(href: string, how: "push" | "replace" = "push"): void {
  const target = new URL(href, location.href);
  if (target.href === location.href) return;
  if (how === "push") history.pushState(null, "", target);
  else history.replaceState(null, "", target);
  place.value = read();
}

/** Changes parts of the query: null takes a name away, a list repeats it. */
export function setQuery(
  changes: Record<string, string | null | readonly string[]>,
  how: "push" | "replace" = "replace",
): void {
  const search = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    search.delete(name);
    if (typeof value === "string") {
      if (value !== "") search.set(name, value);
    } else if (value !== null) for (const one of value) search.append(name, one);
  }
  const text = search.toString();
  navigate(`${location.pathname}${text === "" ? "" : `?${text}`}`, how);
}

/** The address of a trace. Ids that a path cannot carry go into the query. */
export function traceHref(traceId: string, more: Record<string, string | null | undefined> = {}): string {
  const search = new URLSearchParams();
  const plain = traceId !== "" && traceId !== "." && traceId !== "..";
  if (!plain) search.set("id", traceId);
  for (const [name, value] of Object.entries(more)) if (value) search.set(name, value);
  const text = search.toString();
  return `/traces/${plain ? encodeURIComponent(traceId) : ""}${text === "" ? "" : `?${text}`}`;
}

/** The trace that an address names, or null when it names none. */
export function traceIdOf(at: Place): string | null {
  if (!at.path.startsWith("/traces/")) return null;
  const rest = at.path.slice("/traces/".length);
  if (rest === "") return at.search.get("id");
  try {
    return decodeURIComponent(rest);
  } catch {
    return rest;
  }
}

/** Follows links within the page without loading it anew, and the browser's back and forward. */
export function startRouter(): void {
  addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
      return;
    const link = (event.target as Element | null)?.closest?.("a[href]") as HTMLAnchorElement | null;
    if (!link || link.target || link.download || link.origin !== location.origin) return;
    if (link.pathname === location.pathname && link.hash !== "" && link.search === location.search) return;
    event.preventDefault();
    navigate(link.href);
  });
}
