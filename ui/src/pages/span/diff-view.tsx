import { useMemo } from "preact/hooks";
import { sizeOf } from "../../model/conversation";
import { type DiffLine, diff, diffLines } from "../../model/diff";
import { formatDuration, formatShort, plural } from "../../model/format";
import { type Chat, fingerprint, type Message, plainText } from "../../model/messages";
import type { Tree } from "../../model/tree";
import type { Neighbours, SpanContent } from "./load";

/** Equal lines kept around a change. */
const AROUND = 3;

/** What changed since the call before in the same conversation. */
export function DiffView(props: {
  tree: Tree;
  row: number;
  content: SpanContent;
  neighbours: Neighbours;
  onGo: (id: string) => void;
}) {
  const { tree, row, neighbours, content } = props;
  const chat = content.chat;
  const earlier = neighbours.previous?.content.chat ?? null;
  if (!chat) return <p class="panel-note">This call carries no messages in a form that is known here.</p>;
  if (!neighbours.ready) return <div class="panel-loading" />;
  if (!earlier || !neighbours.previous) {
    return (
      <p class="panel-note">
        This is the first call of its conversation: there is none before it to compare with.
      </p>
    );
  }
  const before = tree.rows[neighbours.previous.row]!;
  const since = tree.rows[row]!.start - before.start;
  return (
    <div class="diff">
      <p class="muted">
        Compared with the{" "}
        <button type="button" class="link" onClick={() => props.onGo(before.id)}>
          call {formatDuration(since)} before
        </button>
      </p>
      <Settings before={earlier} after={chat} />
      <h3>Messages</h3>
      <Messages before={earlier.input} after={chat.input} />
      <h3>Answer</h3>
      <Lines
        lines={diffLines(earlier.output.map(plainText).join("\n"), chat.output.map(plainText).join("\n"))}
      />
    </div>
  );
}

function Settings(props: { before: Chat; after: Chat }) {
  const rows = useMemo(() => {
    const of = (chat: Chat) =>
      new Map<string, string>([
        ["model", chat.model ?? ""],
        ["tools", chat.tools.join(", ")],
        ...chat.settings,
      ]);
    const a = of(props.before);
    const b = of(props.after);
    return [...new Set([...a.keys(), ...b.keys()])]
      .map((name) => ({ name, before: a.get(name) ?? "", after: b.get(name) ?? "" }))
      .filter((entry) => entry.before !== entry.after);
  }, [props.before, props.after]);
  if (rows.length === 0) return <p class="muted">Model, settings and tools are the same.</p>;
  return (
    <>
      <h3>Settings</h3>
      {rows.map((entry) => (
        <div key={entry.name} class="setting">
          <b>{entry.name}</b>
          <Lines lines={diffLines(entry.before, entry.after)} />
        </div>
      ))}
    </>
  );
}

function Messages(props: { before: Message[]; after: Message[] }) {
  const { before, after } = props;
  const hunks = useMemo(() => diff(before.map(fingerprint), after.map(fingerprint)), [before, after]);
  return (
    <>
      {hunks.map((hunk) => {
        if (hunk.equal) {
          const same = after.slice(hunk.bFrom, hunk.bTo);
          return (
            <p key={`${hunk.aFrom}-${hunk.bFrom}`} class="folded still">
              {plural(same.length, "message")} unchanged
              <span class="muted">{formatShort(sizeOf(same))} characters</span>
            </p>
          );
        }
        const gone = before.slice(hunk.aFrom, hunk.aTo);
        const come = after.slice(hunk.bFrom, hunk.bTo);
        const pairs = Math.max(gone.length, come.length);
        return Array.from({ length: pairs }, (_, k) => {
          const a = gone[k];
          const b = come[k];
          const together = a && b && a.role === b.role;
          return (
            <div key={`${hunk.aFrom}-${hunk.bFrom}-${k}`}>
              {together ? (
                <Change sign="~" message={b} lines={diffLines(plainText(a), plainText(b))} />
              ) : (
                <>
                  {a && (
                    <Change
                      sign="−"
                      message={a}
                      lines={plainText(a)
                        .split("\n")
                        .map((text) => ({ sign: "-", text }))}
                    />
                  )}
                  {b && (
                    <Change
                      sign="+"
                      message={b}
                      lines={plainText(b)
                        .split("\n")
                        .map((text) => ({ sign: "+", text }))}
                    />
                  )}
                </>
              )}
            </div>
          );
        });
      })}
    </>
  );
}

const WORDS: Record<string, string> = { "+": "added", "−": "removed", "~": "changed" };

function Change(props: { sign: string; message: Message; lines: DiffLine[] }) {
  return (
    <div class="change">
      <p class="change-head">
        <b>{props.message.role}</b> {WORDS[props.sign]}
      </p>
      <Lines lines={props.lines} />
    </div>
  );
}

function Lines(props: { lines: DiffLine[] }) {
  const { lines } = props;
  const shown: (DiffLine | { skip: number })[] = [];
  for (let i = 0; i < lines.length; ) {
    if (lines[i]!.sign !== " ") {
      shown.push(lines[i++]!);
      continue;
    }
    let end = i;
    while (end < lines.length && lines[end]!.sign === " ") end++;
    const lead = i === 0 ? 0 : AROUND;
    const tail = end === lines.length ? 0 : AROUND;
    if (end - i > lead + tail + 2) {
      for (let k = i; k < i + lead; k++) shown.push(lines[k]!);
      shown.push({ skip: end - i - lead - tail });
      for (let k = end - tail; k < end; k++) shown.push(lines[k]!);
    } else for (let k = i; k < end; k++) shown.push(lines[k]!);
    i = end;
  }
  if (shown.length === 0) return <p class="muted">(empty)</p>;
  return (
    <pre class="diff-lines">
      {shown.slice(0, 2000).map((line, i) =>
        "skip" in line ? (
          <div key={i} class="skip">
            {plural(line.skip, "equal line")}
          </div>
        ) : (
          <div key={i} class={line.sign === "+" ? "add" : line.sign === "-" ? "remove" : ""}>
            <span class="sign">{line.sign === "-" ? "−" : line.sign}</span>
            {line.text === "" ? " " : line.text}
          </div>
        ),
      )}
    </pre>
  );
}
