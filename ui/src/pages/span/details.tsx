import { copyText } from "../../components/announce";
import { Icon } from "../../components/icon";
import { Moment } from "../../components/moment";
import { exactDuration, formatCost, formatCount, formatDuration, plural } from "../../model/format";
import { KIND_LABELS } from "../../model/kinds";
import type { SpanRow } from "../../model/span";
import { exactMoment } from "../../model/time";
import { hasUsage, selfTime } from "../../model/totals";
import type { Tree } from "../../model/tree";
import { estimateCost, PRICES_AS_OF, type Usage } from "../../model/usage";
import type { SpanContent } from "./load";

type Json = unknown;

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function optional(...values: Json[]): string | null {
  for (const value of values) if (typeof value === "string" && value !== "") return value;
  return null;
}

export interface Failure {
  type: string | null;
  message: string;
  stack: string | null;
}

/** What went wrong, from wherever the producer said it. */
export function errorOf(span: SpanRow, content: SpanContent): Failure | null {
  const { metadata, otel, output } = content.value;
  const map = isObject(metadata) ? metadata : {};
  const said = map.__error__ ?? map.error ?? (isObject(output) ? output.error : undefined);
  if (isObject(said)) {
    const message = optional(said.message, said.detail, said.error) ?? JSON.stringify(said);
    return {
      type: optional(said.type, said.name, said.code, map["error.type"]),
      message,
      stack: optional(said.stack, said.traceback, said.stacktrace),
    };
  }
  if (isObject(otel) && Array.isArray(otel.events)) {
    for (const event of otel.events) {
      const attributes = isObject(event) && isObject(event.attributes) ? event.attributes : null;
      if (attributes && isObject(event) && event.name === "exception") {
        return {
          type: optional(attributes["exception.type"]),
          message: optional(attributes["exception.message"]) ?? "",
          stack: optional(attributes["exception.stacktrace"]),
        };
      }
    }
  }
  if (span.status !== "ERROR") return null;
  const message =
    optional(
      said,
      map.error_message,
      map["status.message"],
      isObject(otel) ? otel.status_message : null,
      span.error,
    ) ?? "The span is marked as failed; it says nothing more.";
  return { type: optional(map["error.type"], map.error_type), message, stack: null };
}

export function Details(props: { tree: Tree; row: number; now: number; content: SpanContent }) {
  const { tree, row, content } = props;
  const span = tree.rows[row]!;
  const value = content.value;
  const usage = content.usage;
  const model = span.model ?? content.chat?.model ?? null;
  const running = Number.isNaN(span.end);
  return (
    <div class="details">
      {usage && <UsageView usage={usage} model={model} tree={tree} row={row} />}
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

/** Tokens and money with the arithmetic shown. */
function UsageView(props: { usage: Usage; model: string | null; tree: Tree; row: number }) {
  const { usage, model, tree, row } = props;
  const estimate = estimateCost(usage, model);
  const reported = usage.costUsd >= 0;
  const input = usage.inputTokens;
  const output = usage.outputTokens;
  const plain = input - usage.cacheReadTokens - usage.cacheWriteTokens;
  const sum = (input || 0) + (output || 0);
  let below = 0;
  let calls = 0;
  const place = tree.order.indexOf(row);
  for (let k = place + 1; k < place + tree.subtree[row]!; k++) {
    const child = tree.rows[tree.order[k]!]!;
    if (hasUsage(child)) {
      below += (child.inputTokens || 0) + (child.outputTokens || 0);
      calls++;
    }
  }
  return (
    <>
      <h3>Usage</h3>
      <table class="usage">
        <tbody>
          <Row name="Input" value={input} />
          {usage.cacheReadTokens + usage.cacheWriteTokens > 0 && (
            <>
              <Row name="not cached" value={plain} inner />
              {usage.cacheReadTokens > 0 && (
                <Row name="read from cache" value={usage.cacheReadTokens} inner />
              )}
              {usage.cacheWriteTokens > 0 && (
                <Row name="written to cache" value={usage.cacheWriteTokens} inner />
              )}
            </>
          )}
          <Row name="Output" value={output} />
          {usage.reasoningTokens > 0 && <Row name="reasoning" value={usage.reasoningTokens} inner />}
          <tr class="sum">
            <th scope="row">Together</th>
            <td>
              {formatCount(input || 0)} + {formatCount(output || 0)} =
            </td>
            <td>{formatCount(sum)}</td>
          </tr>
        </tbody>
      </table>
      {usage.totalTokens >= 0 && usage.totalTokens !== sum && (
        <p class="notice warn">
          The producer wrote a total of {formatCount(usage.totalTokens)}; its parts come to {formatCount(sum)}
          .
        </p>
      )}
      {estimate && estimate.dollars > 0 && (
        <table class="usage">
          <tbody>
            {estimate.lines.map((line) => (
              <tr key={line.label}>
                <th scope="row">{line.label}</th>
                <td>
                  {formatCount(line.tokens)} × ${line.perMillion} / 1M =
                </td>
                <td>{formatCost(line.dollars)}</td>
              </tr>
            ))}
            <tr class="sum">
              <th scope="row">List price</th>
              <td class="muted">
                {model}, as of {PRICES_AS_OF}
              </td>
              <td>≈ {formatCost(estimate.dollars)}</td>
            </tr>
          </tbody>
        </table>
      )}
      {reported && (
        <p class="reported">
          <b>Cost as reported: {formatCost(usage.costUsd)}</b>
          {estimate &&
            Math.abs(estimate.dollars - usage.costUsd) > 0.02 * Math.max(estimate.dollars, usage.costUsd) && (
              <span class="muted">
                {" "}
                · {formatCost(Math.abs(estimate.dollars - usage.costUsd))}{" "}
                {usage.costUsd > estimate.dollars ? "above" : "below"} list price
              </span>
            )}
        </p>
      )}
      {calls > 0 && (
        <p class="muted">
          Sums up {plural(calls, "span")} below with {formatCount(below)} tokens
          {below === sum ? ", which agrees" : `, a difference of ${formatCount(Math.abs(sum - below))}`}. The
          trace's totals count the calls below, not this.
        </p>
      )}
      <p class="muted">
        Read from <code>{usage.source}</code>
        {usage.cacheAdded && ". This producer counts cached tokens beside the input; they are added here"}.
      </p>
    </>
  );
}

function Row(props: { name: string; value: number; inner?: boolean }) {
  if (Number.isNaN(props.value)) return null;
  return (
    <tr class={props.inner ? "inner" : ""}>
      <th scope="row">{props.name}</th>
      <td />
      <td>{formatCount(props.value)}</td>
    </tr>
  );
}
