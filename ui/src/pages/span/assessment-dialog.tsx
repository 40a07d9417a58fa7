import { useState } from "preact/hooks";
import { assess, type Verdict } from "../../api/client";
import { announce } from "../../components/announce";
import { Dialog } from "../../components/dialog";
import type { Tree } from "../../model/tree";

const VERDICTS: [string, string, Verdict][] = [
  ["approved", "Approved", { approval: "approved" }],
  ["rejected", "Rejected", { approval: "rejected" }],
  ...[5, 4, 3, 2, 1].map((rating): [string, string, Verdict] => [
    String(rating),
    `${rating} of 5`,
    { rating },
  ]),
  ["comment", "Only a comment", {}],
];

/** Asks what a span is worth, and says so to the server. */
export function AssessmentDialog(props: {
  tree: Tree;
  row: number;
  onClose: () => void;
  onSaved: () => void;
}) {
  const { tree } = props;
  const span = tree.rows[props.row]!;
  const [choice, setChoice] = useState("approved");
  const [comment, setComment] = useState("");
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const verdict = VERDICTS.find(([value]) => value === choice)![2];
  const words = comment.trim();
  const empty = choice === "comment" && words === "";
  const save = async () => {
    if (empty) return;
    setBusy(true);
    try {
      const said = words === "" ? verdict : { ...verdict, comment: words };
      await assess(tree.traceId, span.id, tree.account || null, said);
      announce("Assessment saved", true);
      props.onSaved();
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Assess ${span.name || "this span"}`} class="small" onClose={props.onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <label>
          Verdict
          <select
            class="select"
            name="verdict"
            value={choice}
            onChange={(event) => setChoice(event.currentTarget.value)}
          >
            {VERDICTS.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <label>
          Comment
          <textarea
            class="field"
            name="comment"
            rows={4}
            value={comment}
            onInput={(event) => setComment(event.currentTarget.value)}
          />
        </label>
        {failure !== "" && (
          <p class="error-text" role="alert">
            {failure}
          </p>
        )}
        <p class="buttons">
          <button type="button" class="button" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" class="button primary" disabled={busy || empty}>
            Save
          </button>
        </p>
      </form>
    </Dialog>
  );
}
