import { useMemo, useState } from "preact/hooks";
import { copyText } from "../../components/announce";
import { Icon } from "../../components/icon";
import { joinResults, newMessages, sizeOf } from "../../model/conversation";
import { formatCount, formatShort, plural } from "../../model/format";
import { type Chat as ChatData, type Message, type Part, plainText } from "../../model/messages";
import { childrenOf, type Tree } from "../../model/tree";
import type { Neighbours, SpanContent } from "./load";

/** Longer texts are cut at first: the reader asks for the rest. */
const MOST_CHARACTERS = 3000;
const MOST_LINES = 60;
/** Instructions are cut sooner. */
const BRIEF_CHARACTERS = 600;
const BRIEF_LINES = 8;

type ToolCall = Extract<Part, { type: "tool-call" }>;

/** A model call as the conversation that it is; by default only what this call added to it. */
export function Chat(props: {
  tree: Tree;
  row: number;
  chat: ChatData;
  content: SpanContent;
  neighbours: Neighbours;
  onGo: (id: string) => void;
}) {
  const { chat, neighbours } = props;
  const [all, setAll] = useState(false);
  const earlier = neighbours.previous?.content.chat ?? null;
  const fresh = useMemo(() => newMessages(earlier, chat), [earlier, chat]);
  const calls = useMemo(() => {
    const map = new Map<string, ToolCall>();
    for (const message of chat.input) {
      for (const part of message.parts) if (part.type === "tool-call" && part.id) map.set(part.id, part);
    }
    return map;
  }, [chat]);
  const executed = useMemo(() => toolSpans(props.tree, props.row, chat), [props.tree, props.row, chat]);

  const { results, joined } = useMemo(
    () =>
      joinResults(
        chat.input,
        fresh.map((is) => is || all),
      ),
    [chat, fresh, all],
  );

  const blocks: preact.ComponentChild[] = [];
  for (let i = 0; i < chat.input.length; ) {
    if (joined.has(i)) {
      i++;
      continue;
    }
    if (!fresh[i] && !all) {
      let end = i;
      while (end < chat.input.length && !fresh[end]) end++;
      const folded = chat.input.slice(i, end);
      blocks.push(
        <button key={`fold${i}`} type="button" class="folded" onClick={() => setAll(true)}>
          <Icon name="chevron" />
          {plural(folded.length, "earlier message")}
          <span class="muted">
            {i === 0 ? "sent before" : "seen in the previous call"}, {formatShort(sizeOf(folded))} characters
          </span>
        </button>,
      );
      i = end;
      continue;
    }
    blocks.push(
      <MessageView
        key={i}
        message={chat.input[i]!}
        fresh={fresh[i]! && earlier !== null && all}
        calls={calls}
        results={results}
      />,
    );
    i++;
  }
  const known = fresh.filter((is) => !is).length;
  return (
    <div class="chat">
      <div class="chat-top">
        {chat.model && <span class="badge">{chat.model}</span>}
        {chat.settings
          .filter(([, value]) => value.length <= 24)
          .slice(0, 6)
          .map(([name, value]) => (
            <span key={name} class="muted nowrap">
              {name} {value}
            </span>
          ))}
        {chat.tools.length > 0 && (
          <span class="muted ellipsis" title={chat.tools.join(", ")}>
            {plural(chat.tools.length, "tool")}: {chat.tools.join(", ")}
          </span>
        )}
        <span class="grow" />
        {known > 0 && (
          <button type="button" class="button small" aria-pressed={!all} onClick={() => setAll(!all)}>
            Only new
          </button>
        )}
      </div>
      {!neighbours.ready && chat.input.length > 6 ? <div class="panel-loading" /> : blocks}
      {earlier !== null && known === chat.input.length && !all && (
        <p class="muted">Nothing is new: the same messages were sent again.</p>
      )}
      <div class="answer">
        <span>Answer</span>
        {chat.finish && <span class="muted">finish: {chat.finish}</span>}
      </div>
      {chat.output.length === 0 ? (
        <p class="muted">No answer was recorded.</p>
      ) : (
        chat.output.map((message, i) => (
          <MessageView
            key={i}
            message={message}
            fresh={false}
            calls={calls}
            executed={executed}
            onGo={props.onGo}
          />
        ))
      )}
    </div>
  );
}

/** The tool spans that ran this call's tool calls: siblings that follow, matched by name and order. */
function toolSpans(tree: Tree, row: number, chat: ChatData): Map<Part, string> {
  const found = new Map<Part, string>();
  const parent = tree.parent[row]!;
  const siblings = childrenOf(tree, parent === -1 ? tree.rows.length : parent);
  const at = siblings.indexOf(row);
  const inside = childrenOf(tree, row);
  const candidates: number[] = [...inside];
  for (let k = at + 1; k < siblings.length && tree.rows[siblings[k]!]!.kind !== "llm"; k++)
    candidates.push(siblings[k]!);
  const used = new Set<number>();
  for (const message of chat.output) {
    for (const part of message.parts) {
      if (part.type !== "tool-call") continue;
      const match = candidates.find((i) => {
        const name = tree.rows[i]!.name;
        return (
          !used.has(i) &&
          (name === part.name || name === `execute_tool ${part.name}` || name.endsWith(`.${part.name}`))
        );
      });
      if (match === undefined) continue;
      used.add(match);
      found.set(part, tree.rows[match]!.id);
    }
  }
  return found;
}

const ROLE_WORDS: Record<string, string> = {
  system: "System",
  user: "User",
  assistant: "Assistant",
  tool: "Tool",
};

function MessageView(props: {
  message: Message;
  fresh: boolean;
  calls: Map<string, ToolCall>;
  results?: Map<Part, Part>;
  executed?: Map<Part, string>;
  onGo?: (id: string) => void;
}) {
  const { message } = props;
  const onlyResults = message.parts.length > 0 && message.parts.every((part) => part.type === "tool-result");
  const role = onlyResults ? "tool" : message.role;
  const known = ROLE_WORDS[role];
  return (
    <article class={`message role-${known ? role : "other"}`}>
      <header>
        <b>{known ?? role}</b>
        {message.name && !onlyResults && <span class="muted">{message.name}</span>}
        {props.fresh && <span class="badge ok">new</span>}
        <span class="grow" />
        <button
          type="button"
          class="icon-button copy"
          aria-label="Copy message"
          title="Copy message"
          onClick={() => copyText(plainText(message), "Message")}
        >
          <Icon name="copy" />
        </button>
      </header>
      {message.parts.length === 0 && <p class="muted">(empty)</p>}
      {message.parts.map((part, i) => (
        <PartView key={i} part={part} brief={role === "system"} {...props} />
      ))}
    </article>
  );
}

function PartView(props: {
  part: Part;
  /** True where the reader knows the text already: instructions are the same in every call. */
  brief?: boolean;
  calls: Map<string, ToolCall>;
  results?: Map<Part, Part>;
  executed?: Map<Part, string>;
  onGo?: (id: string) => void;
}) {
  const { part } = props;
  switch (part.type) {
    case "text":
      return <Said text={part.text} brief={props.brief} />;
    case "reasoning":
      return (
        <details class="reasoning">
          <summary>Reasoning, {formatCount(part.text.length)} characters</summary>
          <Said text={part.text} />
        </details>
      );
    case "tool-call": {
      const span = props.executed?.get(part);
      const result = props.results?.get(part);
      return (
        <div class="call">
          <div class="call-head">
            <Icon name="tool" />
            <b>{part.name}</b>
            {span && (
              <button type="button" class="link" onClick={() => props.onGo?.(span)}>
                open its span
              </button>
            )}
          </div>
          {part.args !== "" && part.args !== "{}" && <Said text={oneLine(part.args)} mono />}
          {result?.type === "tool-result" && (
            <div class={`call-result${result.failed ? " failed" : ""}`}>
              <span class="muted">
                Result
                {result.failed && <span class="badge error">failed</span>}
              </span>
              {result.result === "" ? (
                <p class="muted">(empty)</p>
              ) : (
                <Said text={oneLine(result.result)} mono />
              )}
            </div>
          )}
        </div>
      );
    }
    case "tool-result": {
      const call = part.id ? props.calls.get(part.id) : undefined;
      return (
        <div class={`call${part.failed ? " failed" : ""}`}>
          <div class="call-head">
            <Icon name="tool" />
            <b>{call?.name ?? part.name ?? "result"}</b>
            {part.failed && <span class="badge error">failed</span>}
            {call && call.args !== "" && <code class="ellipsis muted">{call.args.replace(/\s+/g, " ")}</code>}
          </div>
          {part.result === "" ? <p class="muted">(empty)</p> : <Said text={oneLine(part.result)} mono />}
        </div>
      );
    }
    case "media":
      return (
        <p class="media">
          <span class="badge">{part.what}</span> <span class="muted ellipsis">{part.detail}</span>
        </p>
      );
    default:
      return <Said text={part.json} mono />;
  }
}

/** JSON that fits a line stands on one; everything else stays as it is. */
function oneLine(text: string): string {
  if (!/^[[{]/.test(text) || text.length > 200) return text;
  const line = text.replace(/\n\s*/g, " ");
  return line.length <= 90 ? line : text;
}

/** Text as it was written: no markup is made of it, whatever it holds. */
function Said(props: { text: string; mono?: boolean; brief?: boolean }) {
  const [all, setAll] = useState(false);
  const { text, brief } = props;
  const cut = useMemo(
    () => (brief ? cutAt(text, BRIEF_CHARACTERS, BRIEF_LINES) : cutAt(text, MOST_CHARACTERS, MOST_LINES)),
    [text, brief],
  );
  const shown = all || cut === text.length ? text : text.slice(0, cut);
  return (
    <>
      <div class={`said${props.mono ? " mono" : ""}`} dir="auto">
        {shown}
        {shown.length < text.length && "…"}
      </div>
      {cut < text.length && (
        <button type="button" class="link" onClick={() => setAll(!all)}>
          {all ? "Show less" : `Show all ${formatCount(text.length)} characters`}
        </button>
      )}
    </>
  );
}

function cutAt(text: string, characters: number, lines: number): number {
  let at = -1;
  for (let line = 0; line < lines; line++) {
    at = text.indexOf("\n", at + 1);
    if (at === -1 || at > characters) break;
  }
  const cut = at === -1 ? characters : Math.min(at, characters);
  // A cut that would save little is none.
  return text.length <= cut * 1.25 ? text.length : cut;
}
