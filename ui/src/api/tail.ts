import { signal } from "@preact/signals";
import { query, request } from "./http";

export type Liveness = "connecting" | "live" | "offline";

/** An event of the live stream. */
export interface TailEvent {
  id: string;
  type: string;
  data: string;
}

/** The type of an event that carries nothing but the place to go on from. No server sends a type like it. */
const POSITION = "\u0000position";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
/** The server sends a comment at least this often; a stream that is silent for longer is dead. */
const SILENCE_MS = 45_000;

/**
 * Follows the server's live stream and connects again when it breaks, from where it was. `EventSource` would do
 * it alone, but cannot send a key except in the URL, where keys must not be.
 */
export function follow(options: {
  traceId?: string;
  account?: string | null;
  after?: string | null;
  onEvent: (event: TailEvent) => void;
}) {
  const state = signal<Liveness>("connecting");
  const stop = new AbortController();
  let position = options.after ?? null;

  const run = async () => {
    let wait = FIRST_WAIT_MS;
    while (!stop.signal.aborted) {
      const attempt = new AbortController();
      const abort = () => attempt.abort();
      stop.signal.addEventListener("abort", abort);
      let silence: ReturnType<typeof setTimeout> | undefined;
      const heard = () => {
        clearTimeout(silence);
        silence = setTimeout(abort, SILENCE_MS);
      };
      try {
        heard();
        const response = await request(`/api/tail${query({ trace_id: options.traceId, payloads: false })}`, {
          headers: {
            accept: "text/event-stream",
            ...(options.account ? { "x-selected-account-id": options.account } : {}),
            ...(position === null ? {} : { "last-event-id": position }),
          },
          signal: attempt.signal,
        });
        state.value = "live";
        wait = FIRST_WAIT_MS;
        for await (const event of readEvents(response.body!, heard)) {
          if (event.id !== "") position = event.id;
          if (event.type !== POSITION) options.onEvent(event);
        }
      } catch {
        // Broken or refused: said by `state`, tried again below.
      } finally {
        clearTimeout(silence);
        stop.signal.removeEventListener("abort", abort);
      }
      if (stop.signal.aborted) return;
      state.value = "offline";
      await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  };
  void run();
  return { state, stop: () => stop.abort() };
}

/** Splits a byte stream into events, as the HTML standard says. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  heard?: () => void,
): AsyncGenerator<TailEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let id = "";
  let told = "";
  let type = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard?.();
      rest += decoder.decode(value, { stream: true });
      // A carriage return at the very end may be half of a line end.
      const ready = rest.endsWith("\r") ? rest.slice(0, -1) : rest;
      const lines = ready.split(/\r\n|\n|\r/);
      rest = lines.pop()! + rest.slice(ready.length);
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { id, type: type || "message", data: data.join("\n") };
          // An id alone moves the place to go on from, without news.
          else if (id !== told) yield { id, type: POSITION, data: "" };
          told = id;
          type = "";
          data = [];
          continue;
        }
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const field = colon === -1 ? line : line.slice(0, colon);
        const text = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "data") data.push(text);
        else if (field === "event") type = text;
        else if (field === "id" && !text.includes("\0")) id = text;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
