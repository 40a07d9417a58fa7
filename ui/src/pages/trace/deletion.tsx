import { useState } from "preact/hooks";
import { deleteTrace } from "../../api/client";
import { announce } from "../../components/announce";
import { Dialog } from "../../components/dialog";
import { plural, shortId } from "../../model/format";
import type { Tree } from "../../model/tree";
import { navigate } from "../../router";

/** Asks before a trace is deleted, and leaves its page when it is gone. */
export function DeletionDialog(props: { tree: Tree; name: string; onClose: () => void }) {
  const { tree } = props;
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const act = async () => {
    setBusy(true);
    try {
      const spans = await deleteTrace(tree.traceId, tree.account || null);
      announce(`Deleted with ${plural(spans, "span")}`, true);
      navigate("/");
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Delete this trace" class="small" onClose={props.onClose}>
      <div class="details">
        <p>
          <b>{props.name}</b> <code>{shortId(tree.traceId)}</code> with {plural(tree.spanCount, "span")} is
          taken out of the store for good. An agent that goes on writing to it begins it anew.
        </p>
        {failure !== "" && (
          <p class="error-text" role="alert">
            {failure}
          </p>
        )}
        <p class="buttons">
          <button type="button" class="button" onClick={props.onClose}>
            Keep it
          </button>
          <button type="button" class="button danger" disabled={busy} onClick={act}>
            {busy ? "Deleting" : "Delete"}
          </button>
        </p>
      </div>
    </Dialog>
  );
}
