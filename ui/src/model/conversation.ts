import { diff } from "./diff";
import { type Chat, fingerprint, type Message, type Part } from "./messages";
import type { Tree } from "./tree";

const scopes = new WeakMap<Tree, Map<number, number[]>>();

/** Model calls by the row that draws the line around them: the nearest agent above, else the topmost row. */
function callsByScope(tree: Tree): Map<number, number[]> {
  let map = scopes.get(tree);
  if (map) return map;
  map = new Map();
  const scope = new Int32Array(tree.rows.length);
  for (const i of tree.order) {
    const up = tree.parent[i]!;
    // What a child of this row belongs to: this row if it is an agent or a root, else what it belongs to itself.
    scope[i] = up === -1 || tree.rows[i]!.kind === "agent" ? i : scope[up]!;
    if (tree.rows[i]!.kind !== "llm") continue;
    const owner = up === -1 ? -1 : scope[up]!;
    const list = map.get(owner);
    if (list) list.push(i);
    else map.set(owner, [i]);
  }
  for (const list of map.values()) list.sort((a, b) => tree.rows[a]!.start - tree.rows[b]!.start || a - b);
  scopes.set(tree, map);
  return map;
}

/**
 * The model calls of the same agent as `row`, by start: where its conversation's other calls are to be found.
 * A sub-agent's calls stay apart from its caller's.
 */
export function callsBeside(tree: Tree, row: number): number[] {
  for (const list of callsByScope(tree).values()) if (list.includes(row)) return list;
  return [];
}

/** True when `later` goes on with the conversation of `earlier`: it sends most of the same messages again. */
export function continues(earlier: Chat, later: Chat): boolean {
  const sent = new Set(later.input.map(fingerprint));
  let shared = 0;
  let said = 0;
  for (const message of earlier.input) {
    if (message.role === "system") continue;
    said++;
    if (sent.has(fingerprint(message))) shared++;
  }
  return shared > 0 && shared >= said * 0.6;
}

/** Which of a call's messages are new: not sent and not answered in the call before. */
export function newMessages(earlier: Chat | null, chat: Chat): boolean[] {
  const fresh = new Array<boolean>(chat.input.length).fill(true);
  if (!earlier) return fresh;
  const known = [...earlier.input, ...earlier.output].map(fingerprint);
  for (const hunk of diff(known, chat.input.map(fingerprint))) {
    if (hunk.equal) fresh.fill(false, hunk.bFrom, hunk.bTo);
  }
  return fresh;
}

/**
 * Puts results of tools to the calls that asked for them, as far as both are shown. A message of nothing but such
 * results needs no place of its own.
 */
export function joinResults(
  messages: readonly Message[],
  shown: readonly boolean[],
): { results: Map<Part, Part>; joined: Set<number> } {
  const calls = new Map<string, Part>();
  const results = new Map<Part, Part>();
  const joined = new Set<number>();
  messages.forEach((message, i) => {
    if (!shown[i]) return;
    for (const part of message.parts) if (part.type === "tool-call" && part.id) calls.set(part.id, part);
    const asked = message.parts.map((part) =>
      part.type === "tool-result" && part.id ? calls.get(part.id) : undefined,
    );
    if (asked.length === 0 || asked.some((call) => call === undefined || results.has(call))) return;
    for (const [k, part] of message.parts.entries()) results.set(asked[k]!, part);
    joined.add(i);
  });
  return { results, joined };
}

/** Characters of text in messages, to say how much a fold hides. */
export function sizeOf(messages: readonly Message[]): number {
  let size = 0;
  for (const message of messages)
    for (const part of message.parts)
      for (const text of Object.values(part)) {
        if (typeof text === "string") size += text.length;
      }
  return size;
}
