import { Icon } from "../../components/icon";
import { memo } from "../../components/memo";
import { Moment } from "../../components/moment";
import {
  exactDuration,
  formatCost,
  formatCount,
  formatDuration,
  formatShort,
  plural,
  shortId,
} from "../../model/format";
import { isRunning, type TraceSummary } from "../../model/span";
import { navigate, traceHref } from "../../router";

/** The address of a trace of the list. */
export function hrefOf(trace: TraceSummary): string {
  return traceHref(trace.traceId, { account: trace.account === "default" ? null : trace.account });
}

export const Line = memo(function Line(props: {
  trace: TraceSummary;
  index: number;
  top: number;
  at: boolean;
  fresh: boolean;
  picked: boolean;
  now: number;
  onPick: (trace: TraceSummary) => void;
}) {
  const { trace } = props;
  const running = isRunning(trace);
  const end = running ? Math.max(props.now * 1000, trace.end || 0) : trace.end;
  const took = end - trace.start;
  const tokens = (trace.inputTokens || 0) + (trace.outputTokens || 0);
  return (
    <div
      id={`trace-${props.index}`}
      class={`trace-row trace-line${props.at ? " at" : ""}${props.fresh ? " fresh" : ""}`}
      role="row"
      aria-rowindex={props.index + 2}
      aria-selected={props.at}
      style={{ top: `${props.top}px` }}
      onClick={(event) => {
        if (event.defaultPrevented || (event.target as Element).closest("a, button")) return;
        if (event.metaKey || event.ctrlKey) props.onPick(trace);
        else navigate(hrefOf(trace));
      }}
    >
      <State trace={trace} />
      <span class="cell-name trace-name" role="gridcell">
        <a class="ellipsis" href={hrefOf(trace)} tabIndex={-1}>
          {trace.name || "(no name)"}
        </a>
        <span class="mono ellipsis" title={trace.traceId}>
          {shortId(trace.traceId)}
        </span>
        {trace.account !== "default" && <span class="badge">{trace.account}</span>}
        {trace.errorCount > 0 && (
          <span class="badge error" title={plural(trace.errorCount, "failed span")}>
            <Icon name="error" />
            {formatShort(trace.errorCount)}
          </span>
        )}
        {props.picked && <span class="badge running">picked</span>}
      </span>
      <span class="cell-agent ellipsis soft" role="gridcell">
        {trace.agent ?? "–"}
      </span>
      <span class="cell-took num" role="gridcell" title={running ? "still running" : exactDuration(took)}>
        {running ? (
          <span class="badge running">{formatDuration(Math.max(0, took))}</span>
        ) : (
          formatDuration(took)
        )}
      </span>
      <span class="cell-spans num soft" role="gridcell">
        {formatCount(trace.spanCount)}
        <span class="sr"> spans</span>
      </span>
      <span
        class="cell-tokens num soft"
        role="gridcell"
        title={`${formatCount(trace.inputTokens)} in, ${formatCount(trace.outputTokens)} out`}
      >
        {tokens > 0 ? formatShort(tokens) : "–"}
      </span>
      <span class="cell-cost num soft" role="gridcell">
        {trace.costUsd > 0 ? formatCost(trace.costUsd) : "–"}
      </span>
      <span class="cell-started num muted" role="gridcell">
        <Moment at={trace.start} />
      </span>
    </div>
  );
});

function State(props: { trace: TraceSummary }) {
  const { trace } = props;
  const [name, label] = isRunning(trace)
    ? ["running", "running"]
    : trace.status === "ERROR"
      ? ["error", "failed"]
      : trace.status === "CANCELED"
        ? ["canceled", "cancelled"]
        : trace.errorCount > 0
          ? ["ok", "finished, with failed spans"]
          : ["ok", "finished"];
  return (
    <span class={`state ${name}`} role="gridcell" title={label}>
      {name === "running" ? <span class="pulse" /> : <Icon name={name} />}
      <span class="sr">{label}</span>
    </span>
  );
}
