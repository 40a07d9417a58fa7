import { copyText } from "../../components/announce";
import { Icon } from "../../components/icon";
import { Moment } from "../../components/moment";
import { exactDuration, formatDuration } from "../../model/format";
import { KIND_LABELS } from "../../model/kinds";
import type { SpanRow } from "../../model/span";
import { exactMoment } from "../../model/time";
import { selfTime } from "../../model/totals";
import type { Tree } from "../../model/tree";
import type { SpanContent } from "./load";
import { UsageView } from "./usage";

type Json = unknown;

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface Failure {
  type: string | null;
  message: string;
  stack: string | null;
}

/** What went wrong, from wherever the producer said it. */
export function errorOf(span: SpanRow, content: SpanContent): Failure | null {
  const said = content.meaning.normal.error;
  if (!said && span.status !== "ERROR") return null;
  return {
    type: said?.kind ?? null,
    message: said?.message ?? span.error ?? "The span is marked as failed; it says nothing more.",
    stack: said?.stack_trace ?? null,
  };
}

export function Details(props: { tree: Tree; row: number; now: number; content: SpanContent }) {
  const { tree, row, content } = props;
  const span = tree.rows[row]!;
  const value = content.value;
  const usage = content.usage;
  const running = Number.isNaN(span.end);
  return (
    <div class="details">
      {usage && <UsageView usage={usage} tree={tree} row={row} />}
      <h3>Time</h3>
      <dl class="facts">
        <Fact name="Started" title={exactMoment(tree.base + span.start)}>
          <Moment at={tree.base + span.start} />
          <span class="muted"> · {formatDuration(span.start - tree.from)} into the trace</span>
        </Fact>
        <Fact name="Ended">{running ? "not yet" : <Moment at={tree.base + span.end} />}</Fact>
        <Fact name="Took" title={exactDuration(span.end - span.start)}>
          {running
            ? "still running"
            : `${formatDuration(span.end - span.start)} (${exactDuration(span.end - span.start)})`}
        </Fact>
        <Fact name="Itself">{formatDuration(selfTime(tree, row, props.now))} in which no child ran</Fact>
      </dl>
      <h3>Identity</h3>
      <dl class="facts">
        <Id name="Span" value={span.id} />
        <Id name="Trace" value={tree.traceId} />
        {span.parentId !== null && <Id name="Parent" value={span.parentId} />}
        {(
          [
            ["Account", "account"],
            ["Task", "task_id"],
            ["Group", "group_id"],
            ["Application variant", "application_variant_id"],
            ["Application interaction", "application_interaction_id"],
            ["W3C trace", "obs_trace_id"],
            ["W3C span", "obs_span_id"],
          ] as const
        ).map(([name, field]) => {
          const text = value[field];
          return typeof text === "string" ? <Id key={field} name={name} value={text} /> : null;
        })}
        <Fact name="Kind">
          {KIND_LABELS[span.kind]}
          {span.type && <span class="muted"> · type {span.type}</span>}
        </Fact>
        <Fact name="Status">{span.status ?? (running ? "none yet" : "none recorded")}</Fact>
      </dl>
      <Metadata value={value.metadata} />
    </div>
  );
}

function Fact(props: { name: string; title?: string; children: preact.ComponentChildren }) {
  return (
    <div title={props.title}>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function Id(props: { name: string; value: string }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd class="id">
        <code class="ellipsis" title={props.value}>
          {props.value === "" ? "(empty)" : props.value}
        </code>
        <button
          type="button"
          class="icon-button"
          aria-label={`Copy ${props.name.toLowerCase()} id`}
          onClick={() => copyText(props.value, `${props.name} id`)}
        >
          <Icon name="copy" />
        </button>
      </dd>
    </div>
  );
}

function Metadata(props: { value: Json }) {
  if (!isObject(props.value)) return null;
  const entries = Object.entries(props.value);
  if (entries.length === 0) return null;
  return (
    <>
      <h3>Metadata</h3>
      <dl class="facts">
        {entries.slice(0, 200).map(([name, value]) => (
          <div key={name}>
            <dt class="ellipsis" title={name}>
              {name}
            </dt>
            <dd class="value">
              {typeof value === "string" ? value.slice(0, 2000) : JSON.stringify(value)?.slice(0, 2000)}
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}
