import { diff } from "./diff";
import { type Chat, fingerprint, type Message } from "./messages";
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
