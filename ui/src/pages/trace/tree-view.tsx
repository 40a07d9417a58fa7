import type { ComponentChildren, Ref } from "preact";
import { useCallback, useEffect, useImperativeHandle, useMemo, useRef, useState } from "preact/hooks";
import { moveKeys, useKeys } from "../../components/keys";
import { Splitter } from "../../components/splitter";
import { useNarrow, useRows, useWidth } from "../../components/virtual";
import type { Stretch } from "../../model/critical-path";
import { formatCount } from "../../model/format";
import { type Folding, isOpen, type Lines } from "../../model/rows";
import { ticks } from "../../model/ticks";
import { endOf, type Tree } from "../../model/tree";
import { treeShare } from "../../settings";
import { Gutter } from "./gutter";
import { GroupLine, SpanLine } from "./row";

export interface TreeHandle {
  /** The row of the tree that the cursor is on, or -1. */
  row: () => number;
  /** Puts the cursor on a span and scrolls it into view. */
  show: (id: string) => void;
  focus: () => void;
}

interface Props {
  handle: Ref<TreeHandle>;
  tree: Tree;
  lines: Lines;
  folding: Folding;
  from: number;
  to: number;
  now: number;
  stretches: Map<number, Stretch[]> | null;
  selected: string | null;
  hits: Int32Array;
  hitSet: ReadonlySet<number>;
  onFolding: (folding: Folding) => void;
  onSelect: (id: string) => void;
  /** True while a moving cursor takes the span panel along. */
  follow: boolean;
  /** True when the timeline shows the stretch of the lines in view. */
  fit: boolean;
  map: (shown: readonly [number, number]) => ComponentChildren;
  tools: ComponentChildren;
}

/** A span's id, or a group's first member behind a sign that no id begins with. */
const GROUP = "\u0000";

export function TreeView(props: Props) {
  const { tree, lines, folding } = props;
  const narrow = useNarrow();
  const rowHeight = narrow ? 46 : 28;
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useRows(scroller, lines.refs.length, rowHeight);
  const [cursor, setCursor] = useState<string | null>(props.selected);

  const lineOf = (key: string | null): number => {
    if (key === null) return -1;
    if (key.startsWith(GROUP)) {
      const first = tree.index.get(key.slice(1));
      const k = lines.groups.findIndex((group) => group.members[0] === first);
      return k < 0 ? -1 : lines.refs.indexOf(~k);
    }
    const row = tree.index.get(key);
    return row === undefined ? -1 : lines.lineOfRow[row]!;
  };
  const at = useMemo(() => lineOf(cursor), [cursor, lines, tree]);
  const latest = useRef({ props, at, rows });
  latest.current = { props, at, rows };

  const keyAt = (line: number): string => {
    const r = lines.refs[line]!;
    return r >= 0 ? tree.rows[r]!.id : GROUP + tree.rows[lines.groups[~r]!.members[0]!]!.id;
  };
  const move = (to: number) => {
    if (lines.refs.length === 0) return;
    const line = Math.max(0, Math.min(lines.refs.length - 1, to));
    const key = keyAt(line);
    setCursor(key);
    rows.scrollTo(line);
    if (props.follow && !key.startsWith(GROUP)) props.onSelect(key);
    focus();
  };
  const focus = () => {
    if (!scroller.current?.contains(document.activeElement)) scroller.current?.focus({ preventScroll: true });
  };
  useImperativeHandle(
    props.handle,
    () => ({
      row: () => {
        const { at: line, props: now } = latest.current;
        if (line < 0) return -1;
        const r = now.lines.refs[line]!;
        return r >= 0 ? r : now.lines.groups[~r]!.members[0]!;
      },
      show: (id) => {
        setCursor(id);
        const { props: now, rows: window } = latest.current;
        const row = now.tree.index.get(id);
        if (row !== undefined) window.scrollTo(now.lines.lineOfRow[row]!, "center");
      },
      focus,
    }),
    [],
  );
  useEffect(() => {
    if (props.selected !== null) setCursor(props.selected);
  }, [props.selected]);

  const toggle = useCallback((line: number, open?: boolean) => {
    const { tree, lines, folding, onFolding } = latest.current.props;
    const r = lines.refs[line]!;
    if (r < 0) {
      const id = tree.rows[lines.groups[~r]!.members[0]!]!.id;
      const openGroups = new Set(folding.openGroups);
      if (open === openGroups.has(id)) return;
      if (openGroups.has(id)) openGroups.delete(id);
      else openGroups.add(id);
      setCursor(GROUP + id);
      onFolding({ ...folding, openGroups });
      return;
    }
    if (tree.subtree[r]! < 2 || open === isOpen(tree, folding, r)) return;
    const id = tree.rows[r]!.id;
    const exceptions = new Set(folding.exceptions);
    if (exceptions.has(id)) exceptions.delete(id);
    else exceptions.add(id);
    onFolding({ ...folding, exceptions });
  }, []);
  const pick = useCallback((line: number) => {
    const { tree, lines, onSelect } = latest.current.props;
    const r = lines.refs[line]!;
    if (r < 0) return;
    setCursor(tree.rows[r]!.id);
    if (!tree.rows[r]!.missing) onSelect(tree.rows[r]!.id);
  }, []);

  const openState = (line: number): boolean | null => {
    const r = lines.refs[line]!;
    if (r < 0) return lines.groups[~r]!.open;
    return tree.subtree[r]! > 1 ? isOpen(tree, folding, r) : null;
  };
  useKeys({
    ...moveKeys(at, lines.refs.length, rows.page, move),
    ArrowRight: () => {
      if (at < 0) return move(0);
      const open = openState(at);
      if (open === false) toggle(at, true);
      else if (open === true) move(at + 1);
    },
    ArrowLeft: () => {
      if (at < 0) return;
      if (openState(at) === true) toggle(at, false);
      else {
        for (let line = at - 1; line >= 0; line--) {
          if (lines.depths[line]! < lines.depths[at]!) {
            move(line);
            break;
          }
        }
      }
    },
    Enter: () => {
      if (at < 0) return;
      if (lines.refs[at]! < 0) toggle(at);
      else pick(at);
    },
    " ": () => {
      if (at >= 0) toggle(at);
    },
  });

  const [from, to] = props.fit
    ? stretchOf(tree, lines, rows.shownFirst, rows.shownLast, props.from, props.to, props.now)
    : [props.from, props.to];
  const items = [];
  for (let line = rows.first; line < rows.last; line++) {
    const r = lines.refs[line]!;
    const common = {
      key: line % rows.slots,
      line,
      top: rows.top(line),
      depth: lines.depths[line]!,
      at: line === at,
      from,
      to,
      onToggle: toggle,
      onPick: pick,
    };
    if (r >= 0) {
      const running = Number.isNaN(tree.rows[r]!.end);
      items.push(
        <SpanLine
          {...common}
          tree={tree}
          row={r}
          open={openState(line)}
          hit={props.hitSet.has(r)}
          stretches={props.stretches?.get(r) ?? null}
          now={running ? props.now : 0}
        />,
      );
    } else {
      const group = lines.groups[~r]!;
      let hits = 0;
      if (props.hits.length > 0) {
        for (const i of group.members) {
          if (props.hitSet.has(i)) hits++;
        }
      }
      items.push(
        <GroupLine
          {...common}
          key={`g${line % rows.slots}`}
          tree={tree}
          group={group}
          hits={hits}
          now={props.now}
        />,
      );
    }
  }

  // One class for all rows: a container query in each would cost every scrolled frame.
  const room = useWidth(scroller) * (narrow ? 1 : treeShare.value / 100);
  const tight = room < 360 ? " tight tighter" : room < 420 ? " tight" : "";
  return (
    <div class={`tree${tight}`} style={{ "--tree": `${treeShare.value}%` }}>
      <div class="tree-head">
        <div class="tree-head-name">
          <span class="count">
            {formatCount(lines.refs.length)} lines
            {lines.refs.length < tree.spanCount && ` for ${formatCount(tree.spanCount)} spans`}
          </span>
          {props.tools}
        </div>
        <Splitter
          label="Width of the tree"
          value={treeShare.value}
          min={20}
          max={80}
          onChange={(value) => {
            treeShare.value = value;
          }}
        />
        <div class="tree-head-time">
          {props.map([from, to])}
          <Axis from={from} to={to} />
        </div>
      </div>
      <div
        ref={scroller}
        class="tree-scroll"
        role="treegrid"
        tabIndex={0}
        aria-label="Spans"
        aria-rowcount={lines.refs.length}
        aria-activedescendant={at >= rows.first && at < rows.last ? `line-${at}` : undefined}
      >
        <div class="tree-space" role="presentation" style={{ height: `${rows.height}px` }}>
          {items}
        </div>
      </div>
      <Gutter
        tree={tree}
        lines={lines}
        hits={props.hits}
        onJump={(line) => {
          rows.scrollTo(line, "center");
        }}
      />
    </div>
  );
}

/**
 * The stretch of time of the lines in view. A line whose subtree goes on below the view (the root, a long turn) is
 * cut, not counted: it would stretch the picture to the whole trace.
 */
function stretchOf(
  tree: Tree,
  lines: Lines,
  first: number,
  last: number,
  from: number,
  to: number,
  now: number,
): [number, number] {
  let a = Number.POSITIVE_INFINITY;
  let b = Number.NEGATIVE_INFINITY;
  for (let line = first; line < last; line++) {
    const r = lines.refs[line]!;
    const depth = lines.depths[line]!;
    let cut = false;
    if (line + 1 < lines.refs.length && lines.depths[line + 1]! > depth) {
      cut = last < lines.refs.length && lines.depths[last]! > depth;
      for (let k = line + 1; cut && k < last; k++) cut = lines.depths[k]! > depth;
    }
    if (cut) continue;
    if (r >= 0) {
      a = Math.min(a, tree.rows[r]!.start);
      b = Math.max(b, endOf(tree.rows[r]!, now));
    } else if (!lines.groups[~r]!.open) {
      const { members } = lines.groups[~r]!;
      a = Math.min(a, tree.rows[members[0]!]!.start);
      for (const i of members) b = Math.max(b, endOf(tree.rows[i]!, now));
    }
  }
  if (!(b > a)) return [from, to];
  const room = (b - a) * 0.02;
  return [Math.max(from, a - room), Math.min(to, b + room * 4)];
}

function Axis(props: { from: number; to: number }) {
  return (
    <div class="axis" aria-hidden="true">
      {ticks(props.from, props.to, 6).map((tick) => {
        const left = ((tick.at - props.from) / (props.to - props.from)) * 100;
        return (
          <span key={tick.at} class={left > 92 ? "last" : ""} style={{ left: `${left}%` }}>
            {tick.label}
          </span>
        );
      })}
    </div>
  );
}
