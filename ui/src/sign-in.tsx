import { useState } from "preact/hooks";
import { signIn } from "./api/session";
import { Dialog } from "./components/dialog";

/** Asks for an API key, and tries it before it is kept: a wrong key never looks like an empty server. */
export function SignIn() {
  const [refused, setRefused] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const key = (form.elements.namedItem("key") as HTMLInputElement).value.trim();
    setBusy(true);
    const refusal = await tryKey(key);
    setBusy(false);
    if (refusal === null) signIn(key);
    else setRefused(refusal);
  };
  return (
    <Dialog title="Sign in" class="small">
      <form onSubmit={submit}>
        <p class="soft">
          This server asks for an API key. Yours stays in this tab and is forgotten when it closes.
        </p>
        <label>
          API key
          <input
            class="field mono"
            name="key"
            type="password"
            autocomplete="off"
            spellcheck={false}
            placeholder="endspan_…"
            required
            autofocus
          />
        </label>
        {refused !== "" && (
          <p class="error-text" role="alert">
            {refused}
          </p>
        )}
        <button type="submit" class="button primary" disabled={busy}>
          {busy ? "Trying the key" : "Sign in"}
        </button>
        <p class="muted">
          Whoever runs the server makes one with <code>endspan keys create --role read</code>.
        </p>
      </form>
    </Dialog>
  );
}

/** Why the server does not take the key; null when it does. */
async function tryKey(key: string): Promise<string | null> {
  // What cannot stand in a header is no key.
  if (!/^[\x21-\x7e]+$/.test(key)) return "That is not an API key.";
  const response = await fetch("/api/traces?limit=1", { headers: { "x-api-key": key } }).catch(() => null);
  if (response === null) return "The server does not answer.";
  if (response.ok) return null;
  if (response.status === 401) return "The server does not know this key, or it has expired.";
  if (response.status === 403) return "This key may not read. Ask for one with the role read.";
  return `The server answered ${response.status}. Try again in a moment.`;
}
