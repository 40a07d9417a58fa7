import { useEffect, useState } from "preact/hooks";
import { readUsage } from "../../api/client";
import { Dialog } from "../../components/dialog";
import { formatCost, formatCount, plural } from "../../model/format";
import { type Ledger, ledgerOf } from "../../model/ledger";
import type { Tree } from "../../model/tree";
import { CostTable, TokenTable } from "../span/usage";

/** The ledger reads every payload of the trace: with more spans than this it is asked for, not fetched unasked. */
const MOST_UNASKED = 5000;

/** What the trace used and cost: read once it stands still, or when asked for. */
export function useLedger(tree: Tree, worth: boolean, asked: boolean): Ledger | null {
  const [found, setFound] = useState<{ tree: Tree; ledger: Ledger } | null>(null);
  const wanted = asked || (worth && tree.openCount === 0 && tree.spanCount <= MOST_UNASKED);
  useEffect(() => {
    if (!wanted) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      readUsage(tree.traceId, tree.account || null, abort.signal).then(
        (answer) => setFound({ tree, ledger: ledgerOf(answer) }),
        () => {}, // Tokens and reported costs stand in the header without it.
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [tree, wanted]);
  return wanted ? (found?.ledger ?? null) : null;
}

/** Tokens and money of the whole trace with the arithmetic. */
export function LedgerDialog(props: {
  ledger: Ledger | null;
  /** What producers reported; NaN when they reported none. */
  reportedUsd: number;
  onGo: (span: string) => void;
  onClose: () => void;
}) {
  const { ledger } = props;
  return (
    <Dialog title="Usage and cost" class="ledger" onClose={props.onClose}>
      {ledger === null ? (
        <div class="panel-loading" role="status" aria-label="Adding up" />
      ) : (
        <div class="details">
          <p class="soft">
            {plural(ledger.calls, "call")} counted once each, at the lowest spans that report usage.
          </p>
          <TokenTable usage={ledger.usage} />
          {props.reportedUsd >= 0 && (
            <p class="reported">
              <b>Cost as reported: {formatCost(props.reportedUsd)}</b>
            </p>
          )}
          {ledger.models.map((model) => (
            <section key={model.model}>
              <h3>
                {model.model ?? "(no model named)"} <span class="muted">{plural(model.calls, "call")}</span>
              </h3>
              {model.lines.length > 0 ? (
                <CostTable
                  lines={model.lines}
                  dollars={model.dollars}
                  note={`prices of ${ledger.pricesOf}`}
                />
              ) : (
                <p class="muted">
                  No price is known for it: {formatCount(model.usage.inputTokens || 0)} tokens in,{" "}
                  {formatCount(model.usage.outputTokens || 0)} out.
                </p>
              )}
            </section>
          ))}
          {ledger.unpriced > 0 && ledger.dollars > 0 && (
            <p class="notice warn">
              {plural(ledger.unpriced, "call")} of models without a price: the sum is too low by theirs.
            </p>
          )}
          {ledger.models.length > 1 && ledger.dollars > 0 && (
            <p>
              <b>
                {ledger.models
                  .filter((model) => model.dollars > 0)
                  .map((model) => formatCost(model.dollars))
                  .join(" + ")}{" "}
                ≈ {formatCost(ledger.dollars)}
              </b>
            </p>
          )}
          <Repeated {...props} ledger={ledger} />
        </div>
      )}
    </Dialog>
  );
}

/** What was seen and not added: sums above calls, and calls reported twice. */
function Repeated(props: { ledger: Ledger; onGo: (span: string) => void }) {
  const { ledger } = props;
  const apart = ledger.rollups.filter((rollup) => !rollup.agrees);
  return (
    <>
      {ledger.rollups.length > 0 && (
        <p class="muted">
          {plural(ledger.rollups.length, "span")} above repeat the usage of calls below them and are not added
          {apart.length === 0 ? "; they agree." : `; ${apart.length} of them say something else:`}
        </p>
      )}
      {apart.slice(0, 20).map((rollup) => (
        <p key={rollup.span} class="notice warn">
          <button type="button" class="link" onClick={() => props.onGo(rollup.span)}>
            This span
          </button>
          <span>
            says {formatCount(rollup.tokens)} tokens, its calls {formatCount(rollup.counted)}.
          </span>
        </p>
      ))}
      {ledger.duplicates > 0 && (
        <p class="muted">{plural(ledger.duplicates, "span")} report a call that was counted already.</p>
      )}
    </>
  );
}
