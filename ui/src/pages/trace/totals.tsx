import { Icon, KindIcon } from "../../components/icon";
import {
  exactDuration,
  formatCost,
  formatCount,
  formatDuration,
  formatShare,
  formatShort,
} from "../../model/format";
import { KIND_LABELS } from "../../model/kinds";
import type { Totals } from "../../model/totals";

/** Where the time, the tokens and the money went, by kind of work. A press on a kind finds its spans. */
export function TotalsBar(props: { totals: Totals; query: string; onQuery: (query: string) => void }) {
  const { totals } = props;
  const whole = totals.kinds.reduce((sum, kind) => sum + kind.selfMicros, 0);
  return (
    <div class="totals">
      <div class="totals-bar" aria-hidden="true">
        {totals.kinds.map((kind) => (
          <i
            key={kind.kind}
            class={`fill-${kind.kind}`}
            style={{ flexGrow: whole > 0 ? kind.selfMicros / whole : 0 }}
            title={`${KIND_LABELS[kind.kind]}: ${formatDuration(kind.selfMicros)}`}
          />
        ))}
      </div>
      <ul class="totals-list" aria-label="Totals by kind">
        {totals.kinds.map((kind) => {
          const query = `kind:${kind.kind}`;
          const on = props.query === query;
          return (
            <li key={kind.kind}>
              <button
                type="button"
                aria-pressed={on}
                title={`${formatCount(kind.spans)} spans, ${exactDuration(kind.selfMicros)} of their own time, ${formatShare(kind.pathMicros / totals.pathMicros)} of the critical path`}
                onClick={() => props.onQuery(on ? "" : query)}
              >
                <KindIcon kind={kind.kind} />
                <b>{KIND_LABELS[kind.kind]}</b>
                <span>{formatCount(kind.spans)}×</span>
                <span>{formatDuration(kind.selfMicros)}</span>
                {totals.pathMicros > 0 && kind.pathMicros > 0 && (
                  <span class="on-path">
                    <Icon name="path" />
                    {formatShare(kind.pathMicros / totals.pathMicros)}
                    <span class="sr"> of the critical path</span>
                  </span>
                )}
                {kind.inputTokens + kind.outputTokens > 0 && (
                  <span>
                    {formatShort(kind.inputTokens)} → {formatShort(kind.outputTokens)} tok
                  </span>
                )}
                {kind.costUsd > 0 && <span>{formatCost(kind.costUsd)}</span>}
                {kind.errors > 0 && <span class="error-text">{formatCount(kind.errors)} failed</span>}
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
