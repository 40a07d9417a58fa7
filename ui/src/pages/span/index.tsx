import { useMemo, useState } from "preact/hooks";
import { mayAssess } from "../../api/identity";
import { copyText } from "../../components/announce";
import { Icon, KindIcon } from "../../components/icon";
import { JsonView } from "../../components/json-view";
import { useKeys } from "../../components/keys";
import { Tabs } from "../../components/tabs";
import { formatBytes, formatDuration, plural } from "../../model/format";
import { member } from "../../model/json-document";
import { childrenOf, endOf, findings, type Tree } from "../../model/tree";
import { AssessmentDialog } from "./assessment-dialog";
import { Assessments } from "./assessments";
import { Chat } from "./chat";
import { Details, errorOf } from "./details";
import { DiffView } from "./diff-view";
import { forget, type Neighbours, type SpanContent, useNeighbours, useSpan } from "./load";

const TABS = ["chat", "data", "details", "diff", "raw"] as const;
type TabName = (typeof TABS)[number];
const LABELS: Record<TabName, string> = {
  chat: "Chat",
  data: "Data",
  details: "Details",
  diff: "Diff",
  raw: "Raw",
};

/** Everything about one span, beside the tree. */
export function SpanPanel(props: {
  tree: Tree;
  row: number;
  tab: string | null;
  now: number;
  onTab: (tab: string) => void;
  onGo: (id: string) => void;
  onClose: () => void;
}) {
  const { tree, row } = props;
  const span = tree.rows[row]!;
  const [revision, setRevision] = useState(0);
  const [assessing, setAssessing] = useState(false);
  const { content, error } = useSpan(tree, row, revision);
  const neighbours = useNeighbours(tree, row, content);
  const isCall = span.kind === "llm";
  const hasChat = content?.chat != null;
  const offered = TABS.filter((name) =>
    name === "chat" ? isCall || hasChat : name === "diff" ? isCall : true,
  );
  const asked = offered.find((name) => name === props.tab);
  const tab: TabName = asked ?? (hasChat || (isCall && content === null) ? "chat" : "data");
  const go = (to: number | undefined) => {
    if (to !== undefined && to >= 0) props.onGo(tree.rows[to]!.id);
  };
  const keys: Record<string, () => void> = {
    "[": () => go(neighbours.previous?.row),
    "]": () => go(neighbours.next?.row),
    u: () => go(tree.parent[row]),
  };
  offered.forEach((name) => {
    keys[String(TABS.indexOf(name) + 1)] = () => props.onTab(name);
  });
  useKeys(keys);
  const failure = content ? errorOf(span, content) : null;
  const odd = findings(tree, row);
  const running = Number.isNaN(span.end) && !span.missing;
  return (
    <section class="panel" aria-label={`Span ${span.name}`}>
      <header class="panel-head">
        <KindIcon kind={span.kind} />
        <h2 class="ellipsis" title={span.name}>
          {span.name || "(no name)"}
        </h2>
        {span.status === "ERROR" && (
          <span class="badge error">
            <Icon name="error" />
            failed
          </span>
        )}
        {running && (
          <span class="badge running">
            <span class="pulse" />
            running
          </span>
        )}
        <span class="soft nowrap">{formatDuration(endOf(span, props.now) - span.start)}</span>
        {span.model && <span class="badge ellipsis">{span.model}</span>}
        <span class="grow" />
        {mayAssess() && !span.missing && (
          <button
            type="button"
            class="icon-button"
            aria-label="Assess the span"
            title="Say what it is worth"
            onClick={() => setAssessing(true)}
          >
            <Icon name="assess" />
          </button>
        )}
        <button
          type="button"
          class="icon-button"
          aria-label="Copy span id"
          title={`Copy id ${span.id}`}
          onClick={() => copyText(span.id, "Span id")}
        >
          <Icon name="copy" />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label="Close the span"
          title="Close (Esc)"
          onClick={props.onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      {assessing && (
        <AssessmentDialog
          tree={tree}
          row={row}
          onClose={() => setAssessing(false)}
          onSaved={() => {
            forget(tree, row);
            setRevision(revision + 1);
            setAssessing(false);
          }}
        />
      )}
      <Relatives tree={tree} row={row} neighbours={neighbours} onGo={go} />
      {failure && (
        <div class="notice error failure" role="note">
          <Icon name="error" />
          <div class="grow">
            {failure.type && <b>{failure.type}</b>}
            <pre>{failure.message}</pre>
            {failure.stack && (
              <details>
                <summary>Stack</summary>
                <pre>{failure.stack}</pre>
              </details>
            )}
          </div>
        </div>
      )}
      {content && <Assessments assessments={content.assessments} />}
      {odd.map((finding) => (
        <div key={finding.label} class="notice warn failure" role="note">
          <Icon name="skew" />
          <span>{finding.text}</span>
        </div>
      ))}
      {error !== null ? (
        <div class="notice error failure" role="alert">
          {error}
        </div>
      ) : (
        <Tabs
          label="Span"
          value={tab}
          onChange={props.onTab}
          tabs={offered.map((name) => ({ value: name, label: LABELS[name] }))}
          end={content && <span class="muted nowrap panel-size">{formatBytes(content.text.length)}</span>}
        >
          {content === null ? (
            <div class="panel-loading" role="status" aria-label="Reading the span" />
          ) : (
            <Body {...props} tab={tab} content={content} neighbours={neighbours} />
          )}
        </Tabs>
      )}
    </section>
  );
}

function Body(props: {
  tree: Tree;
  row: number;
  now: number;
  tab: TabName;
  content: SpanContent;
  neighbours: Neighbours;
  onGo: (id: string) => void;
}) {
  const { content, tab } = props;
  if (tab === "chat") {
    if (!content.chat) {
      return (
        <p class="panel-note">
          This call carries no messages in a form that is known here. <b>Data</b> shows it as it came.
        </p>
      );
    }
    return <Chat {...props} chat={content.chat} />;
  }
  if (tab === "details") return <Details {...props} />;
  if (tab === "diff") return <DiffView {...props} />;
  return <Json key={tab} content={content} whole={tab === "raw"} />;
}

const NAMES = [
  ["input", "Input"],
  ["output", "Output"],
  ["expected", "Expected"],
  ["metadata", "Metadata"],
  ["otel", "OpenTelemetry"],
] as const;

function Json(props: { content: SpanContent; whole: boolean }) {
  const document = props.content.document;
  const sections = useMemo(() => {
    if (props.whole) return [{ title: "", node: 0 }];
    const list: { title: string; node: number }[] = [];
    for (const [name, title] of NAMES) {
      const node = member(document, 0, name);
      if (node >= 0 && document.text.slice(document.start[node]!, document.end[node]!) !== "null")
        list.push({ title, node });
    }
    return list;
  }, [document, props.whole]);
  if (sections.length === 0) return <p class="panel-note">This span carries no payload.</p>;
  return (
    <JsonView
      document={document}
      sections={sections}
      label={props.whole ? "Raw span" : "Payloads"}
      end={
        <button
          type="button"
          class="icon-button"
          aria-label="Copy the whole span as JSON"
          title="Copy the whole span as JSON"
          onClick={() => copyText(document.text, "Span")}
        >
          <Icon name="copy" />
        </button>
      }
    />
  );
}

/** Where one can go from here. */
function Relatives(props: { tree: Tree; row: number; neighbours: Neighbours; onGo: (row: number) => void }) {
  const { tree, row, neighbours } = props;
  const [open, setOpen] = useState(false);
  const parent = tree.parent[row]!;
  const kids = childrenOf(tree, row);
  return (
    <nav class="relatives" aria-label="Related spans">
      {parent >= 0 && !tree.rows[parent]!.missing && (
        <button type="button" class="button small" title="Parent (u)" onClick={() => props.onGo(parent)}>
          <Icon name="up" />
          <span class="ellipsis">{tree.rows[parent]!.name}</span>
        </button>
      )}
      {kids.length > 0 && (
        <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
          <Icon name="down" />
          {plural(kids.length, "child", "children")}
        </button>
      )}
      {neighbours.calls > 1 && (
        <span class="conversation">
          <button
            type="button"
            class="icon-button"
            aria-label="Previous call of this conversation"
            title="Previous call of this conversation ([)"
            disabled={!neighbours.previous}
            onClick={() => neighbours.previous && props.onGo(neighbours.previous.row)}
          >
            <Icon name="left" />
          </button>
          <span class="muted nowrap">
            call {neighbours.place} of {neighbours.calls}
          </span>
          <button
            type="button"
            class="icon-button"
            aria-label="Next call of this conversation"
            title="Next call of this conversation (])"
            disabled={!neighbours.next}
            onClick={() => neighbours.next && props.onGo(neighbours.next.row)}
          >
            <Icon name="right" />
          </button>
        </span>
      )}
      {open && (
        <ul class="children">
          {Array.from(kids.subarray(0, 100)).map((i) => (
            <li key={tree.rows[i]!.id}>
              <button type="button" onClick={() => props.onGo(i)}>
                <KindIcon kind={tree.rows[i]!.kind} />
                <span class="ellipsis">{tree.rows[i]!.name}</span>
                <span class="muted nowrap">{formatDuration(tree.rows[i]!.end - tree.rows[i]!.start)}</span>
              </button>
            </li>
          ))}
          {kids.length > 100 && (
            <li class="muted">and {plural(kids.length - 100, "more child", "more children")}</li>
          )}
        </ul>
      )}
    </nav>
  );
}
