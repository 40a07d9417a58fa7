import { formatCost, formatCount, plural } from "../../model/format";
import { hasUsage } from "../../model/totals";
import type { Tree } from "../../model/tree";
import type { Cost, CostLine, SpanUsage, Usage } from "../../model/usage";

/** Tokens and money of one span, with the arithmetic shown. */
export function UsageView(props: { usage: SpanUsage; tree: Tree; row: number }) {
  const { usage, tree, row } = props;
  const sum = (usage.inputTokens || 0) + (usage.outputTokens || 0);
  return (
    <>
      <h3>Usage</h3>
      <TokenTable usage={usage} />
      {usage.totalTokens >= 0 && usage.totalTokens !== sum && (
        <p class="notice warn">
          The producer wrote a total of {formatCount(usage.totalTokens)}; its parts come to {formatCount(sum)}
          .
        </p>
      )}
      {usage.cost && usage.cost.dollars > 0 && (
        <CostTable
          lines={usage.cost.lines}
          dollars={usage.cost.dollars}
          note={`${usage.cost.model}, prices of ${usage.pricesOf}`}
        />
      )}
      <Reported usage={usage} cost={usage.cost} />
      <Below tree={tree} row={row} sum={sum} />
      {usage.cache && <p class="muted">{usage.cache}</p>}
    </>
  );
}

/** Tokens by what they are, parts below their sums. */
export function TokenTable(props: { usage: Usage }) {
  const { usage } = props;
  const input = usage.inputTokens;
  const output = usage.outputTokens;
  const cached = usage.cacheReadTokens + usage.cacheWriteTokens;
  return (
    <table class="usage">
      <tbody>
        <Row name="Input" value={input} />
        {cached > 0 && <Row name="not cached" value={input - cached} inner />}
        {usage.cacheReadTokens > 0 && <Row name="read from cache" value={usage.cacheReadTokens} inner />}
        {usage.cacheWriteTokens > 0 && <Row name="written to cache" value={usage.cacheWriteTokens} inner />}
        <Row name="Output" value={output} />
        {usage.reasoningTokens > 0 && <Row name="reasoning" value={usage.reasoningTokens} inner />}
        <tr class="sum">
          <th scope="row">Together</th>
          <td>
            {formatCount(input || 0)} + {formatCount(output || 0)} =
          </td>
          <td>{formatCount((input || 0) + (output || 0))}</td>
        </tr>
      </tbody>
    </table>
  );
}

/** Money: tokens times price, line by line. */
export function CostTable(props: { lines: CostLine[]; dollars: number; note: string }) {
  return (
    <table class="usage">
      <tbody>
        {props.lines.map((line) => (
          <tr key={line.label}>
            <th scope="row">{line.label}</th>
            <td>
              {formatCount(line.tokens)} × ${line.dollarsPerMillion} / 1M =
            </td>
            <td>{formatCost(line.dollars)}</td>
          </tr>
        ))}
        <tr class="sum">
          <th scope="row">By list price</th>
          <td class="muted">{props.note}</td>
          <td>≈ {formatCost(props.dollars)}</td>
        </tr>
      </tbody>
    </table>
  );
}

/** The producer's own figure, beside the price table's and never mixed with it. */
function Reported(props: { usage: SpanUsage; cost: Cost | null }) {
  const { reportedUsd } = props.usage;
  if (!(reportedUsd >= 0)) return null;
  const apart = props.cost ? reportedUsd - props.cost.dollars : 0;
  const differs = props.cost && Math.abs(apart) > 0.02 * Math.max(props.cost.dollars, reportedUsd);
  return (
    <p class="reported">
      <b>Cost as reported: {formatCost(reportedUsd)}</b>
      {differs && (
        <span class="muted">
          {" "}
          · {formatCost(Math.abs(apart))} {apart > 0 ? "above" : "below"} list price
        </span>
      )}
    </p>
  );
}

/** A span that sums up others is compared with them. */
function Below(props: { tree: Tree; row: number; sum: number }) {
  const { tree, row, sum } = props;
  let below = 0;
  let calls = 0;
  const place = tree.order.indexOf(row);
  for (let k = place + 1; k < place + tree.subtree[row]!; k++) {
    const child = tree.rows[tree.order[k]!]!;
    if (!hasUsage(child)) continue;
    below += (child.inputTokens || 0) + (child.outputTokens || 0);
    calls++;
  }
  if (calls === 0) return null;
  return (
    <p class="muted">
      Sums up {plural(calls, "span")} below with {formatCount(below)} tokens
      {below === sum ? ", which agrees" : `, a difference of ${formatCount(Math.abs(sum - below))}`}. The
      trace's totals count the calls below, not this.
    </p>
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
