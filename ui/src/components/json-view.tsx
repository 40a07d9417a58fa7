import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { formatCount, plural } from "../model/format";
import {
  ARRAY,
  decode,
  type JsonDocument,
  type JsonLine,
  jsonLines,
  keyOf,
  LITERAL,
  NUMBER,
  pathOf,
  rawOf,
  STRING,
  searchJson,
} from "../model/json-document";
import { announce, copyText } from "./announce";
import { Icon } from "./icon";
import { useRows } from "./virtual";

const ROW = 20;
/** Documents with more nodes than this begin with their deeper parts folded. */
const MANY = 3000;
/** Strings up to this length are unfolded from the start, as long as all of them together stay small. */
const READABLE = 4000;
const READABLE_IN_ALL = 60_000;
/** Most characters of a string on its own line. */
const ON_LINE = 400;

interface Section {
  title: string;
  node: number;
}

type Line = JsonLine | { title: string; node: number; part: 3 };

function firstFolds(document: JsonDocument, sections: Section[]) {
  const closed = new Set<number>();
  const long = new Set<number>();
  let readable = 0;
  for (const section of sections) {
    const base = document.depth[section.node]!;
    for (let node = section.node; node < document.after[section.node]!; node++) {
      const kind = document.kind[node]!;
      if (kind <= ARRAY && document.size[node]! > 0) {
        const deep = document.depth[node]! - base;
        if (document.count > MANY && (deep >= 3 || document.size[node]! > 300) && deep > 0) closed.add(node);
      } else if (kind === STRING) {
        const length = document.end[node]! - document.start[node]!;
        if (length > 90 && length <= READABLE && readable < READABLE_IN_ALL && document.count <= MANY) {
          long.add(node);
          readable += length;
        }
      }
    }
  }
  return { closed, long };
}

/**
 * Shows JSON text of any size: folding, search, copying. Numbers, key order and repeated keys appear exactly as
 * they were sent, for the text is never rebuilt. What it shows is text; nothing in a payload becomes markup.
 */
export function JsonView(props: {
  document: JsonDocument;
  sections: Section[];
  label: string;
  end?: preact.ComponentChildren;
}) {
  const { document, sections } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [folds, setFolds] = useState(() => firstFolds(document, sections));
  const [wrap, setWrap] = useState(100);
  const [query, setQuery] = useState("");
  const [hit, setHit] = useState(0);
  const [at, setAt] = useState(-1);
  useEffect(() => {
    setFolds(firstFolds(document, sections));
    setAt(-1);
  }, [document]);
  useEffect(() => {
    const element = scroller.current!;
    const measure = () => setWrap(Math.max(30, Math.floor((element.clientWidth - 90) / 7.3)));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const lines = useMemo(() => {
    const list: Line[] = [];
    for (const section of sections) {
      if (section.title !== "") list.push({ title: section.title, node: section.node, part: 3 });
      const own = jsonLines(document, folds.closed, folds.long, wrap, section.node);
      for (const line of own) list.push(line);
    }
    return list;
  }, [document, sections, folds, wrap]);
  const rows = useRows(scroller, lines.length, ROW);

  const hits = useMemo(() => {
    if (query.length < 1) return [];
    const inside = (node: number) => sections.some((s) => node >= s.node && node < document.after[s.node]!);
    return searchJson(document, query).filter(inside);
  }, [document, query, sections]);
  const jump = (to: number) => {
    if (hits.length === 0) return;
    const k = ((to % hits.length) + hits.length) % hits.length;
    setHit(k);
    const node = hits[k]!;
    const closed = new Set(folds.closed);
    for (let up = document.holder[node]!; up !== -1; up = document.holder[up]!) closed.delete(up);
    const long = new Set(folds.long);
    if (document.kind[node] === STRING && document.end[node]! - document.start[node]! > 60) long.add(node);
    setFolds({ closed, long });
    wanted.current = { node, text: query };
    announce(`Hit ${k + 1} of ${hits.length}: ${pathOf(document, node)}`);
  };
  const wanted = useRef<{ node: number; text: string } | null>(null);
  useEffect(() => {
    const target = wanted.current;
    if (!target) return;
    wanted.current = null;
    const needle = target.text.toLowerCase();
    let line = lines.findIndex(
      (l) => l.part === 2 && l.node === target.node && l.piece!.toLowerCase().includes(needle),
    );
    if (line < 0) line = lines.findIndex((l) => l.part === 0 && l.node === target.node);
    rows.scrollTo(line, "center");
    setAt(line);
  }, [lines]);

  const toggle = (line: number) => {
    const l = lines[line]!;
    if (l.part === 3) return;
    const { node } = l;
    const kind = document.kind[node]!;
    const which = kind <= ARRAY ? "closed" : kind === STRING ? "long" : null;
    if (which === null) return;
    const set = new Set(folds[which]);
    if (set.has(node)) set.delete(node);
    else set.add(node);
    setFolds({ ...folds, [which]: set });
  };
  const foldAll = (open: boolean) => {
    const closed = new Set<number>();
    if (!open) {
      for (const section of sections) {
        const base = document.depth[section.node]!;
        for (let node = section.node; node < document.after[section.node]!; node++) {
          if (document.kind[node]! <= ARRAY && document.size[node]! > 0 && document.depth[node]! > base)
            closed.add(node);
        }
      }
    }
    setFolds({ closed, long: open ? folds.long : new Set() });
  };
  const copy = (node: number) => {
    const raw = rawOf(document, node);
    void copyText(document.kind[node] === STRING ? decode(raw) : pretty(raw), pathOf(document, node));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: rows.page, PageUp: -rows.page }[event.key];
    if (step !== undefined || event.key === "Home" || event.key === "End") {
      const to = event.key === "Home" ? 0 : event.key === "End" ? lines.length - 1 : at + step!;
      const line = Math.max(0, Math.min(lines.length - 1, to));
      setAt(line);
      rows.scrollTo(line);
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) toggle(at);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const l = lines[at];
      if (l && l.part === 0) {
        const kind = document.kind[l.node]!;
        const open = kind <= ARRAY ? !folds.closed.has(l.node) : folds.long.has(l.node);
        if (open === (event.key === "ArrowLeft")) toggle(at);
      }
    } else return;
    event.preventDefault();
  };

  const titled = new Set(sections.filter((section) => section.title !== "").map((section) => section.node));
  const items = [];
  for (let line = rows.first; line < Math.min(rows.last, lines.length); line++) {
    const l = lines[line]!;
    const folding = l.part === 0 && isFolding(document, l.node, folds.long);
    const open = folding
      ? document.kind[l.node]! <= ARRAY
        ? !folds.closed.has(l.node)
        : folds.long.has(l.node)
      : null;
    const indent = (l.part === 3 ? 0 : document.depth[l.node]! - baseDepth(document, sections, l.node)) * 14;
    items.push(
      <div
        key={line % rows.slots}
        id={`json-${line}`}
        class={`json-line part-${l.part}${line === at ? " at" : ""}${hits[hit] === l.node && query !== "" ? " found" : ""}`}
        role="treeitem"
        aria-level={indent / 14 + 1}
        aria-expanded={open ?? undefined}
        aria-selected={line === at}
        style={{ transform: `translateY(${rows.top(line)}px)`, paddingLeft: `${8 + indent}px` }}
        onClick={() => {
          setAt(line);
          if (l.part === 0) toggle(line);
        }}
      >
        {l.part === 3 ? (
          <b>{l.title}</b>
        ) : (
          <>
            <span class={`toggle${open ? " open" : ""}`}>{open !== null && <Icon name="chevron" />}</span>
            <LineText document={document} line={l} open={open} query={query} bare={titled.has(l.node)} />
          </>
        )}
        {(l.part === 0 || l.part === 3) && (
          <button
            type="button"
            class="json-copy"
            tabIndex={-1}
            aria-label="Copy value"
            title={`Copy ${l.part === 3 ? l.title : pathOf(document, l.node)}`}
            onClick={(event) => {
              event.stopPropagation();
              copy(l.node);
            }}
          >
            <Icon name="copy" />
          </button>
        )}
      </div>,
    );
  }
  return (
    <div class="json">
      <div class="json-tools">
        <div class="search">
          <Icon name="search" />
          <input
            class="field"
            type="search"
            placeholder="Search"
            aria-label={`Search ${props.label}`}
            value={query}
            onInput={(event) => {
              setQuery(event.currentTarget.value);
              setHit(-1);
            }}
            onKeyDown={(event) => {
              if (event.key === "Escape" && query !== "") {
                event.preventDefault();
                setQuery("");
              }
              if (event.key !== "Enter") return;
              event.preventDefault();
              jump(hit + (event.shiftKey ? -1 : 1));
            }}
          />
        </div>
        {query !== "" && (
          <span class="hits" role="status">
            {hits.length === 0 ? "no hits" : `${hit >= 0 ? `${hit + 1} of ` : ""}${formatCount(hits.length)}`}
            <button type="button" class="icon-button" aria-label="Previous hit" onClick={() => jump(hit - 1)}>
              <Icon name="up" />
            </button>
            <button type="button" class="icon-button" aria-label="Next hit" onClick={() => jump(hit + 1)}>
              <Icon name="down" />
            </button>
          </span>
        )}
        <span class="grow" />
        <button
          type="button"
          class="icon-button"
          aria-label="Unfold all"
          title="Unfold all"
          onClick={() => foldAll(true)}
        >
          <Icon name="expand" />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Fold all"
          title="Fold all"
          onClick={() => foldAll(false)}
        >
          <Icon name="fold" />
        </button>
        {props.end}
      </div>
      <div
        ref={scroller}
        class="json-scroll"
        role="tree"
        tabIndex={0}
        aria-label={props.label}
        aria-activedescendant={at >= rows.first && at < rows.last ? `json-${at}` : undefined}
        onKeyDown={onKeyDown}
      >
        <div class="json-space" role="presentation" style={{ height: `${rows.height}px` }}>
          {items}
        </div>
      </div>
    </div>
  );
}

function baseDepth(document: JsonDocument, sections: Section[], node: number): number {
  for (const section of sections) {
    if (node >= section.node && node < document.after[section.node]!) return document.depth[section.node]!;
  }
  return 0;
}

function isFolding(document: JsonDocument, node: number, long: ReadonlySet<number>): boolean {
  const kind = document.kind[node]!;
  if (kind <= ARRAY) return document.size[node]! > 0;
  if (kind !== STRING) return false;
  return (
    long.has(node) ||
    document.end[node]! - document.start[node]! > 60 ||
    rawOf(document, node).includes("\\n")
  );
}

function LineText(props: {
  document: JsonDocument;
  line: JsonLine;
  open: boolean | null;
  query: string;
  /** The key stands in the heading above. */
  bare: boolean;
}) {
  const { document, line, query } = props;
  const { node } = line;
  const kind = document.kind[node]!;
  if (line.part === 1) return <span class="json-mark">{kind === ARRAY ? "]" : "}"}</span>;
  if (line.part === 2) {
    return (
      <span class="json-string json-piece">
        <Marked text={line.piece!} query={query} />
      </span>
    );
  }
  const key = props.bare ? null : keyOf(document, node);
  const head =
    key !== null ? (
      <>
        <span class="json-key">
          <Marked text={key} query={query} />
        </span>
        <span class="json-mark">: </span>
      </>
    ) : document.holder[node] !== -1 && document.kind[document.holder[node]!] === ARRAY ? (
      <span class="json-index">{document.position[node]} </span>
    ) : null;
  if (kind <= ARRAY) {
    const size = document.size[node]!;
    const [a, b] = kind === ARRAY ? ["[", "]"] : ["{", "}"];
    return (
      <span class="json-text">
        {head}
        {size === 0 ? (
          <span class="json-mark">
            {a}
            {b}
          </span>
        ) : props.open ? (
          <span class="json-mark">{a}</span>
        ) : (
          <>
            <span class="json-mark">
              {a}…{b}
            </span>
            <span class="json-note"> {kind === ARRAY ? plural(size, "item") : plural(size, "key")}</span>
          </>
        )}
      </span>
    );
  }
  const length = document.end[node]! - document.start[node]!;
  if (kind === STRING) {
    if (props.open) {
      return (
        <span class="json-text">
          {head}
          <span class="json-note">text, {plural(length - 2, "character")}</span>
        </span>
      );
    }
    const raw = document.text.slice(
      document.start[node]!,
      Math.min(document.end[node]!, document.start[node]! + ON_LINE),
    );
    return (
      <span class="json-text">
        {head}
        <span class="json-string">
          <Marked text={length > ON_LINE ? `${raw}…` : raw} query={query} />
        </span>
      </span>
    );
  }
  return (
    <span class="json-text">
      {head}
      <span class={kind === NUMBER ? "json-number" : kind === LITERAL ? "json-literal" : ""}>
        <Marked text={rawOf(document, node)} query={query} />
      </span>
    </span>
  );
}

export function Marked(props: { text: string; query: string }) {
  const { text, query } = props;
  if (query === "") return <>{text}</>;
  const parts = [];
  const low = text.toLowerCase();
  const needle = query.toLowerCase();
  // Lower case may change lengths in rare scripts; then nothing is marked rather than the wrong place.
  if (low.length !== text.length) return <>{text}</>;
  let from = 0;
  for (let at = low.indexOf(needle); at !== -1; at = low.indexOf(needle, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + needle.length)}</mark>);
    from = at + needle.length;
  }
  parts.push(text.slice(from));
  return <>{parts}</>;
}

function pretty(raw: string): string {
  if (raw.length > 2_000_000) return raw;
  try {
    // Numbers that a double cannot hold would change: then the text stays as it came.
    const again = JSON.stringify(JSON.parse(raw));
    return again.length === raw.length ? JSON.stringify(JSON.parse(raw), null, 2) : raw;
  } catch {
    return raw;
  }
}
