import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { afterPicture } from "./later";

/** Rows drawn beyond each edge, so that a fast scroll does not show the ground. The first picture does without. */
const OVERSCAN = 8;

/** What stands above a list on most pages, in pixels. */
const ABOVE = 240;

/** Browsers refuse elements above some 33 million pixels; beyond this the scroll is scaled down. */
const TALLEST = 15_000_000;

export interface Window {
  first: number;
  last: number;
  /** The rows that are really in view, without those drawn beyond its edges. */
  shownFirst: number;
  shownLast: number;
  /** How many rows are drawn at once: `index % slots` names the element that a row reuses. */
  slots: number;
  /** Height of the whole list. */
  height: number;
  /** Where row `index` is drawn, in pixels. */
  top: (index: number) => number;
  scrollTo: (index: number, align?: "nearest" | "center") => void;
  /** Rows that fit the view. */
  page: number;
}

/** Works out which rows of a list of equally high rows are in view. */
export function useRows(
  scroller: { current: HTMLElement | null },
  count: number,
  rowHeight: number,
  header = 0,
): Window {
  // A first guess that is a little low costs a few rows more; the real height comes from the browser's own layout,
  // unforced, and before the picture is drawn.
  const [view, setView] = useState({ top: 0, height: Math.max(rowHeight, innerHeight - ABOVE) });
  const [overscan, setOverscan] = useState(0);
  useEffect(() => afterPicture(() => setOverscan(OVERSCAN)), []);
  // Never fewer than before: rows would lose their elements.
  const slots = useRef(0);
  const frame = useRef(0);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    let height = Math.max(rowHeight, innerHeight - ABOVE);
    const read = () => {
      frame.current = 0;
      const top = element.scrollTop;
      setView((old) => (old.top === top && old.height === height ? old : { top, height }));
    };
    const onScroll = () => {
      if (frame.current === 0) frame.current = requestAnimationFrame(read);
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    const observer = new ResizeObserver((entries) => {
      height = entries[entries.length - 1]!.contentRect.height;
      read();
    });
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", onScroll);
      observer.disconnect();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [scroller]);

  const full = count * rowHeight;
  const height = Math.min(full, TALLEST);
  const room = Math.max(rowHeight, view.height - header);
  const fits = Math.ceil(room / rowHeight);
  // Scaled: the pixel offset stands for a share of the list, and rows are drawn around where the view is.
  const scaled = full > height;
  const top = Math.max(0, Math.min(view.top, height - room));
  const share = scaled && height > room ? top / (height - room) : 0;
  const rowTop = scaled ? share * (full - room) : top;
  const at = Math.floor(rowTop / rowHeight);
  const first = Math.max(0, at - overscan);
  const last = Math.min(count, at + fits + 1 + overscan);
  slots.current = Math.max(slots.current, Math.ceil(innerHeight / rowHeight), fits);
  const shift = scaled ? top - rowTop : 0;
  return {
    first,
    last,
    shownFirst: Math.min(at, count),
    shownLast: Math.min(count, at + fits),
    slots: slots.current + 2 * OVERSCAN + 2,
    height,
    page: Math.max(1, fits - 2),
    top: (index) => index * rowHeight + shift,
    scrollTo: (index, align = "nearest") => {
      const element = scroller.current;
      if (!element || index < 0 || index >= count) return;
      const viewRoom = Math.max(rowHeight, element.clientHeight - header);
      const factor = scaled ? (height - viewRoom) / (full - viewRoom) : 1;
      const current = element.scrollTop / factor;
      const from = index * rowHeight;
      let target = current;
      if (align === "center" && (from < current || from + rowHeight > current + viewRoom)) {
        target = from - viewRoom / 2 + rowHeight / 2;
      } else if (from < current) target = from;
      else if (from + rowHeight > current + viewRoom) target = from + rowHeight - viewRoom;
      if (target !== current) element.scrollTop = Math.max(0, target * factor);
    },
  };
}

/** The width of an element, in pixels. */
export function useWidth(element: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(innerWidth);
  useLayoutEffect(() => {
    const target = element.current;
    if (!target) return;
    const observer = new ResizeObserver((entries) =>
      setWidth(Math.round(entries[entries.length - 1]!.contentRect.width)),
    );
    observer.observe(target);
    return () => observer.disconnect();
  }, [element]);
  return width;
}

/** True while the view is as narrow as a phone. */
export function useNarrow(limit = 760): boolean {
  const text = `(max-width: ${limit}px)`;
  const [narrow, setNarrow] = useState(() => matchMedia(text).matches);
  useEffect(() => {
    const media = matchMedia(text);
    const change = () => setNarrow(media.matches);
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, [text]);
  return narrow;
}
