import { Icon, KindIcon } from "../../components/icon";
import { memo } from "../../components/memo";
import type { Stretch } from "../../model/critical-path";
import {
  exactDuration,
  formatCost,
  formatCount,
  formatDuration,
  formatShort,
  plural,
} from "../../model/format";
import type { Group } from "../../model/rows";
import { endOf, findings, type Tree } from "../../model/tree";

/** Deeper levels are drawn at this depth: past it the indent would push the name out of sight. */
const DEEPEST_INDENT = 24;
const INDENT = 14;

export interface Domain {
  from: number;
  to: number;
}

interface Common {
  line: number;
  top: number;
  depth: number;
  at: boolean;
  /** The stretch of time that the lane shows. */
  from: number;
  to: number;
  onToggle: (line: number) => void;
  onPick: (line: number) => void;
}

function percent(value: number, from: number, to: number): number {
  return ((value - from) / (to - from)) * 100;
}

function Toggle(props: { open: boolean | null; line: number; onToggle: (line: number) => void }) {
  if (props.open === null) return <span class="toggle" />;
  return (
    <button
      type="button"
      class={`toggle${props.open ? " open" : ""}`}
      tabIndex={-1}
      aria-label={props.open ? "Fold" : "Unfold"}
      onClick={(event) => {
        event.stopPropagation();
        props.onToggle(props.line);
      }}
    >
      <Icon name="chevron" />
    </button>
  );
}

export const SpanLine = memo(function SpanLine(
  props: Common & {
    tree: Tree;
    row: number;
    open: boolean | null;
    hit: boolean;
    stretches: Stretch[] | null;
    now: number;
  },
) {
  const { tree, row: i, from, to } = props;
  const row = tree.rows[i]!;
  const failed = row.status === "ERROR";
  const running = Number.isNaN(row.end) && !row.missing;
  const odd = tree.flags[i] !== 0 || row.missing ? findings(tree, i) : null;
  const hidden = props.open === false ? tree.subtreeErrors[i]! - (failed ? 1 : 0) : 0;
  const tokens = row.inputTokens >= 0 || row.outputTokens >= 0;
  return (
    <div
      id={`line-${props.line}`}
      class={`line${props.at ? " at" : ""}${failed ? " failed" : ""}${row.missing ? " missing" : ""}`}
      role="row"
      aria-level={props.depth + 1}
      aria-rowindex={props.line + 1}
      aria-expanded={props.open ?? undefined}
      aria-selected={props.at}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={() => props.onPick(props.line)}
    >
      <div
        class="tree-cell"
        role="gridcell"
        style={{ "--depth": Math.min(props.depth, DEEPEST_INDENT) * INDENT }}
      >
        <Toggle open={props.open} line={props.line} onToggle={props.onToggle} />
        <KindIcon kind={row.kind} />
        <span class={`name${props.hit ? " hit" : ""}`}>
          {row.missing ? `missing parent` : row.name || "(no name)"}
        </span>
        {failed && (
          <span class="badge error" title={row.error ?? "failed"}>
            <Icon name="error" />
            <span class="sr">failed</span>
          </span>
        )}
        {running && <span class="pulse" title="running" />}
        {running && <span class="sr">running</span>}
        {odd?.map((finding) => (
          <span key={finding.label} class="badge warn" title={finding.text}>
            {finding.label}
          </span>
        ))}
        {hidden > 0 && (
          <span class="badge error" title={`${plural(hidden, "failed span")} inside`}>
            {formatShort(hidden)}
          </span>
        )}
        <span class="note">
          {failed && row.error !== null ? (
            <span class="error-text">{row.error}</span>
          ) : props.open === false && tree.subtree[i]! > 1 ? (
            `${formatCount(tree.subtree[i]! - 1)} inside`
          ) : (
            row.model
          )}
        </span>
        {tokens && (
          <span
            class="tokens"
            title={`${formatCount(row.inputTokens)} tokens in, ${formatCount(row.outputTokens)} out`}
          >
            {formatShort(row.inputTokens || 0)} → {formatShort(row.outputTokens || 0)}
            {row.costUsd > 0 && <span class="cost"> {formatCost(row.costUsd)}</span>}
          </span>
        )}
      </div>
      <div class="lane" role="gridcell">
        <Bar
          kind={row.kind}
          start={row.start}
          end={endOf(row, props.now)}
          label={
            running
              ? `${formatDuration(endOf(row, props.now) - row.start)}…`
              : formatDuration(row.end - row.start)
          }
          exact={running ? "not ended" : exactDuration(row.end - row.start)}
          failed={failed}
          running={running}
          from={from}
          to={to}
        />
        {props.stretches?.map((stretch) => {
          const left = Math.max(0, percent(stretch.from, from, to));
          const right = Math.min(100, percent(stretch.to, from, to));
          return right < 0 || left > 100 || right - left < 0.15 ? null : (
            <i
              key={stretch.from}
              class="stretch"
              style={{ left: `${left}%`, width: `${Math.max(0, right - left)}%` }}
            />
          );
        })}
      </div>
    </div>
  );
});

function Bar(props: {
  kind: string;
  start: number;
  end: number;
  label: string;
  exact: string;
  failed: boolean;
  running: boolean;
  from: number;
  to: number;
}) {
  const left = percent(props.start, props.from, props.to);
  const right = percent(props.end, props.from, props.to);
  if (right < 0) return <span class="beyond left">◂ {props.label}</span>;
  if (left > 100) return <span class="beyond right">{props.label} ▸</span>;
  const a = Math.max(0, left);
  const b = Math.min(100, right);
  const place =
    b < 84
      ? { left: `calc(${Math.max(a, b)}% + 7px)` }
      : a > 16
        ? { right: `calc(${100 - a}% + 5px)` }
        : { right: `calc(${100 - b}% + 6px)` };
  const inside = b >= 84 && a <= 16;
  return (
    <>
      <span
        class={`bar fill-${props.kind}${props.failed ? " failed" : ""}${props.running ? " running" : ""}`}
        style={{ left: `${a}%`, width: `${b - a}%` }}
      />
      <span class={`took${inside ? " inside" : ""}`} style={place} title={props.exact}>
        {props.label}
      </span>
    </>
  );
}

/** Pieces of a folded run on its lane: stretches of time in which any member ran. */
function pieces(tree: Tree, group: Group, from: number, to: number, now: number): [number, number][] {
  const list: [number, number][] = [];
  const gap = 0.35;
  for (const i of group.members) {
    const row = tree.rows[i]!;
    const a = Math.max(0, percent(row.start, from, to));
    const b = Math.min(100, percent(endOf(row, now), from, to));
    if (b < 0 || a > 100) continue;
    const last = list[list.length - 1];
    if (last && a <= last[1] + gap) last[1] = Math.max(last[1], b);
    else list.push([a, b]);
  }
  return list;
}

export const GroupLine = memo(function GroupLine(
  props: Common & { tree: Tree; group: Group; hits: number; now: number },
) {
  const { tree, group, from, to } = props;
  const first = tree.rows[group.members[0]!]!;
  let busy = 0;
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  let spans = 0;
  for (const i of group.members) {
    const row = tree.rows[i]!;
    const last = endOf(row, props.now);
    busy += last - row.start;
    if (row.start < start) start = row.start;
    if (last > end) end = last;
    spans += tree.subtree[i]!;
  }
  const right = percent(end, from, to);
  const left = percent(start, from, to);
  const label = `${formatDuration(busy)} in all`;
  return (
    <div
      id={`line-${props.line}`}
      class={`line group${props.at ? " at" : ""}`}
      role="row"
      aria-level={props.depth + 1}
      aria-rowindex={props.line + 1}
      aria-expanded={group.open}
      aria-selected={props.at}
      style={{ transform: `translateY(${props.top}px)` }}
      onClick={() => props.onToggle(props.line)}
    >
      <div
        class="tree-cell"
        role="gridcell"
        style={{ "--depth": Math.min(props.depth, DEEPEST_INDENT) * INDENT }}
      >
        <Toggle open={group.open} line={props.line} onToggle={props.onToggle} />
        <KindIcon kind={first.kind} />
        <span class={`name${props.hits > 0 ? " hit" : ""}`}>{group.label}</span>
        <span class="times">× {formatCount(group.rounds)}</span>
        {group.errors > 0 && (
          <span class="badge error" title={`${plural(group.errors, "failed span")} inside`}>
            <Icon name="error" />
            {formatShort(group.errors)}
          </span>
        )}
        {props.hits > 0 && !group.open && <span class="badge warn">{plural(props.hits, "hit")}</span>}
        <span class="note">{spans > group.members.length ? plural(spans, "span") : "repeats"}</span>
      </div>
      <div class="lane" role="gridcell">
        {right >= 0 && left <= 100 && (
          <>
            <span
              class={`reach fill-${first.kind}`}
              style={{ left: `${Math.max(0, left)}%`, width: `${Math.min(100, right) - Math.max(0, left)}%` }}
            />
            {pieces(tree, group, from, to, props.now).map(([a, b]) => (
              <i
                key={a}
                class={`bar piece fill-${first.kind}`}
                style={{ left: `${a}%`, width: `${b - a}%` }}
              />
            ))}
          </>
        )}
        <span
          class={`took${right >= 78 && left <= 22 ? " over" : ""}`}
          style={
            right < 78
              ? { left: `calc(${Math.max(0, right)}% + 7px)` }
              : left > 22
                ? { right: `calc(${100 - Math.min(100, left)}% + 5px)` }
                : { right: "6px" }
          }
          title={exactDuration(busy)}
        >
          {label}
        </span>
      </div>
    </div>
  );
});
