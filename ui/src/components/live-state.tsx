import type { ReadonlySignal } from "@preact/signals";
import type { Liveness } from "../api/tail";

/** Whether the page follows the server. Takes the signal itself, so that news of it draw this and nothing else. */
export function LiveState(props: { live: ReadonlySignal<Liveness> }) {
  const live = props.live.value;
  const words = { connecting: "Connecting", live: "Live", offline: "Server away, trying again" }[live];
  return (
    <span class={`live-state ${live}`} title={words} role="status" aria-label={words}>
      <i />
      <span>{words}</span>
    </span>
  );
}
