import { useEffect, useMemo, useState } from "preact/hooks";
import { readNormal, readSpanText } from "../../api/client";
import type { AssessmentAnswer, NormalSpanAnswer } from "../../api/wire";
import { callsBeside, continues } from "../../model/conversation";
import { indexJson, type JsonDocument } from "../../model/json-document";
import { type Chat, chatOf } from "../../model/messages";
import type { Tree } from "../../model/tree";
import { type SpanUsage, spanUsageOf } from "../../model/usage";

/** A span with its payloads as they came, and what they mean; each form made when first asked for. */
export class SpanContent {
  private parsed: Record<string, unknown> | null = null;
  private indexed: JsonDocument | null = null;
  private asChat: Chat | null | undefined;
  readonly loaded = performance.now();

  constructor(
    readonly text: string,
    readonly meaning: NormalSpanAnswer,
  ) {}

  get value(): Record<string, unknown> {
    this.parsed ??= JSON.parse(this.text) as Record<string, unknown>;
    return this.parsed;
  }

  /** What was said of the span; it may become more while the span stays as it is. */
  get assessments(): AssessmentAnswer[] {
    // Most spans have none: those are not parsed for it.
    if (!this.text.includes('"assessments"')) return [];
    return (this.value.assessments as AssessmentAnswer[] | null | undefined) ?? [];
  }

  get document(): JsonDocument {
    this.indexed ??= indexJson(this.text);
    return this.indexed;
  }

  get chat(): Chat | null {
    if (this.asChat === undefined) this.asChat = chatOf(this.meaning.normal);
    return this.asChat;
  }

  get usage(): SpanUsage | null {
    return spanUsageOf(this.meaning);
  }
}

/** Texts of spans that were looked at, so that stepping back and forth asks the server once. Bounded in characters. */
const kept = new Map<string, SpanContent>();
let keptSize = 0;
const MOST_KEPT = 40_000_000;
/** Milliseconds after which a span is asked for again: somebody may have assessed it. */
const FRESH_MS = 15_000;

function keyOf(tree: Tree, row: number): string {
  const span = tree.rows[row]!;
  return `${tree.account}\n${tree.traceId}\n${span.id}\n${span.end}\n${span.status}`;
}

/** Lets a span be asked for anew: something was said of it. */
export function forget(tree: Tree, row: number): void {
  const key = keyOf(tree, row);
  keptSize -= kept.get(key)?.text.length ?? 0;
  kept.delete(key);
}

async function load(tree: Tree, row: number, abort: AbortSignal): Promise<SpanContent> {
  const span = tree.rows[row]!;
  // A span that ends or fails is another content under the same id.
  const key = keyOf(tree, row);
  const found = kept.get(key);
  if (found) {
    kept.delete(key);
    if (performance.now() - found.loaded < FRESH_MS) {
      kept.set(key, found);
      return found;
    }
    keptSize -= found.text.length;
  }
  const account = tree.account || null;
  const content = new SpanContent(
    ...(await Promise.all([
      readSpanText(tree.traceId, span.id, account, abort),
      readNormal(tree.traceId, span.id, account, abort),
    ])),
  );
  kept.set(key, content);
  keptSize += content.text.length;
  for (const [oldest, value] of kept) {
    if (keptSize <= MOST_KEPT || oldest === key) break;
    kept.delete(oldest);
    keptSize -= value.text.length;
  }
  return content;
}

/** A pause before the first request, so that holding an arrow key down does not ask for every span on the way. */
const PAUSE_MS = 60;

export function useSpan(
  tree: Tree,
  row: number,
  revision: number,
): { content: SpanContent | null; error: string | null } {
  const [state, setState] = useState<{ id: string; content: SpanContent | null; error: string | null }>({
    id: "",
    content: null,
    error: null,
  });
  const span = tree.rows[row]!;
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      load(tree, row, abort.signal).then(
        (content) => setState({ id: span.id, content, error: null }),
        (failure: Error) => {
          if (!abort.signal.aborted) setState({ id: span.id, content: null, error: failure.message });
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [tree.traceId, tree.account, span.id, span.end, span.status, revision]);
  return state.id === span.id ? state : { content: null, error: null };
}

/** A call's place in its conversation. */
export interface Neighbours {
  previous: { row: number; content: SpanContent } | null;
  next: { row: number } | null;
  /** Which call of its agent it is, from one, and of how many. */
  place: number;
  calls: number;
  ready: boolean;
}

const NOBODY: Neighbours = { previous: null, next: null, place: 0, calls: 0, ready: true };
/** How many calls away the same conversation is looked for: an agent may hold several at once. */
const REACH = 4;

/** Finds the calls before and after this one in the same conversation, by what they say. */
export function useNeighbours(tree: Tree, row: number, content: SpanContent | null): Neighbours {
  const id = tree.rows[row]!.id;
  const isCall = tree.rows[row]!.kind === "llm";
  const calls = useMemo(() => (isCall ? callsBeside(tree, row) : []), [tree, row, isCall]);
  const at = calls.indexOf(row);
  const [found, setFound] = useState<{ id: string; neighbours: Neighbours }>({ id: "", neighbours: NOBODY });
  useEffect(() => {
    const chat = content?.chat;
    if (at < 0 || !content || !chat) return;
    const abort = new AbortController();
    const seek = async (direction: 1 | -1) => {
      for (let k = 1; k <= REACH; k++) {
        const other = calls[at + direction * k];
        if (other === undefined) return null;
        const theirs = await load(tree, other, abort.signal).catch(() => null);
        if (!theirs?.chat) continue;
        if (direction === -1 ? continues(theirs.chat, chat) : continues(chat, theirs.chat)) {
          return { row: other, content: theirs };
        }
      }
      return null;
    };
    void (async () => {
      const previous = await seek(-1);
      if (abort.signal.aborted) return;
      const neighbours = { previous, next: null, place: at + 1, calls: calls.length, ready: true };
      setFound({ id, neighbours });
      const next = await seek(1);
      if (!abort.signal.aborted && next) setFound({ id, neighbours: { ...neighbours, next } });
    })();
    return () => abort.abort();
  }, [id, content, at, calls.length]);
  if (at < 0) return NOBODY;
  if (found.id !== id) return { ...NOBODY, place: at + 1, calls: calls.length, ready: false };
  return found.neighbours;
}
