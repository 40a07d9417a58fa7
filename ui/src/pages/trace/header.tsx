import type { ReadonlySignal } from "@preact/signals";
import { useState } from "preact/hooks";
import { readTraceBlob } from "../../api/client";
import { mayDelete } from "../../api/identity";
import type { Liveness } from "../../api/tail";
import { announce, copyText } from "../../components/announce";
import { Icon } from "../../components/icon";
import { LiveState } from "../../components/live-state";
import { Menu } from "../../components/menu";
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
import type { Ledger } from "../../model/ledger";
import { ago } from "../../model/time";
import type { Totals } from "../../model/totals";
import type { Tree } from "../../model/tree";
import { navigate } from "../../router";
import { DeletionDialog } from "./deletion";

/** What the trace is, at a glance. */
export function Header(props: {
  tree: Tree;
  root: number;
  live: ReadonlySignal<Liveness>;
  totals: Totals | null;
  ledger: Ledger | null;
  now: number;
  stale: boolean;
  growing: boolean;
  onCopy: () => void;
  onLedger: () => void;
}) {
  const { tree, root, totals, ledger } = props;
  const row = root >= 0 ? tree.rows[root]! : null;
  const took = (props.growing ? props.now : tree.to) - tree.from;
  const failed = row?.status === "ERROR";
  const [deleting, setDeleting] = useState(false);
  return (
    <header class="trace-title">
      <a class="icon-button" href="/" aria-label="Back to all traces" title="All traces">
        <Icon name="left" />
      </a>
      <h1 class="ellipsis">{row?.name || "(no name)"}</h1>
      {props.growing ? (
        <span class="badge running">
          {!props.stale && <span class="pulse" />}
          {props.stale ? `open, no news ${ago(tree.base + tree.to)}` : "running"}
        </span>
      ) : failed ? (
        <span class="badge error">
          <Icon name="error" />
          failed
        </span>
      ) : row?.status === "CANCELED" ? (
        <span class="badge">cancelled</span>
      ) : (
        <span class="badge ok">
          <Icon name="ok" />
          finished
        </span>
      )}
      <dl class="figures">
        <Figure label="Duration" title={exactDuration(took)}>
          {formatDuration(took)}
        </Figure>
        <Figure label="Spans">{formatCount(tree.spanCount)}</Figure>
        {totals && totals.inputTokens + totals.outputTokens > 0 && (
          <Figure
            label="Tokens"
            title={`${formatCount(totals.inputTokens)} in (${formatCount(totals.cachedTokens)} cached), ${formatCount(totals.outputTokens)} out, from ${plural(totals.counted, "call")}${totals.rollups.length > 0 ? `; ${plural(totals.rollups.length, "span")} that repeat their children's usage are not added` : ""}`}
            onClick={props.onLedger}
          >
            {formatShort(totals.inputTokens)} → {formatShort(totals.outputTokens)}
          </Figure>
        )}
        {totals && totals.costUsd > 0 ? (
          <Figure label="Cost" title="As the producers reported it" onClick={props.onLedger}>
            {formatCost(totals.costUsd)}
          </Figure>
        ) : (
          ledger &&
          ledger.dollars > 0 && (
            <Figure label="Cost" title={`By list prices of ${ledger.pricesOf}`} onClick={props.onLedger}>
              ≈ {formatCost(ledger.dollars)}
            </Figure>
          )
        )}
        <Figure label="Started">
          <Moment at={tree.base + tree.from} />
        </Figure>
      </dl>
      <span class="grow" />
      <LiveState live={props.live} />
      {deleting && (
        <DeletionDialog tree={tree} name={row?.name || "(no name)"} onClose={() => setDeleting(false)} />
      )}
      <Menu
        label="More about this trace"
        items={[
          { value: "link", label: "Copy link to this view" },
          { value: "id", label: "Copy trace id" },
          { value: "compare", label: "Compare with another trace" },
          { value: "json", label: "Download as JSON" },
          ...(mayDelete() ? [{ value: "delete", label: "Delete this trace" }] : []),
        ]}
        onSelect={(value) => {
          if (value === "link") props.onCopy();
          if (value === "id") void copyText(tree.traceId, "Trace id");
          if (value === "compare") navigate(`/compare?a=${encodeURIComponent(tree.traceId)}`);
          if (value === "json") void download(tree);
          if (value === "delete") setDeleting(true);
        }}
      >
        <Icon name="more" />
      </Menu>
    </header>
  );
}

/** Saves the whole trace. Through a request, so that the key travels in a header and in no address. */
async function download(tree: Tree): Promise<void> {
  try {
    const blob = await readTraceBlob(tree.traceId, tree.account || null);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `trace-${shortId(tree.traceId).replace(/[^\w-]/g, "")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (failure) {
    announce(failure instanceof Error ? failure.message : "The trace could not be read", true);
  }
}

function Figure(props: {
  label: string;
  title?: string;
  onClick?: () => void;
  children: preact.ComponentChildren;
}) {
  return (
    <div title={props.title}>
      <dt>{props.label}</dt>
      <dd>
        {props.onClick ? (
          <button type="button" class="figure" aria-haspopup="dialog" onClick={props.onClick}>
            {props.children}
          </button>
        ) : (
          props.children
        )}
      </dd>
    </div>
  );
}
