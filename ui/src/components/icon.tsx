import { KIND_LABELS, type Kind } from "../model/kinds";

/** Line drawings on a 16 by 16 grid. */
const PATHS: Record<string, string> = {
  agent: "M5 6.5h6v5H5zM8 6.5V3.8M8 3.2a.6.6 0 1 0 0 .01M3 8v2M13 8v2M6.8 9h.01M9.2 9h.01",
  turn: "M3 8a5 5 0 0 1 8.6-3.4L13 6M13 3v3h-3M13 8a5 5 0 0 1-8.6 3.4L3 10M3 13v-3h3",
  llm: "M8 2.5l1.3 3.7 3.7 1.3-3.7 1.3L8 12.5 6.7 8.8 3 7.5l3.7-1.3zM12.5 11v3M11 12.5h3",
  tool: "M10.6 2.8a3.2 3.2 0 0 0-3.9 4.3L2.9 11a1.5 1.5 0 0 0 2.1 2.1l3.9-3.8a3.2 3.2 0 0 0 4.3-3.9l-2 2-1.9-.6-.6-1.9z",
  retrieval: "M7 2.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4zM10.2 10.2l3.2 3.2M5 7h4",
  embedding: "M3 4h.01M8 4h.01M13 4h.01M3 8h.01M8 8h.01M13 8h.01M3 12h.01M8 12h.01M13 12h.01",
  guardrail: "M8 2.2l4.8 1.7v3.8c0 3-2 5-4.8 6.1-2.8-1.1-4.8-3.1-4.8-6.1V3.9zM6 8l1.5 1.5L10.2 6.6",
  evaluation: "M3 13V9M6.3 13V5.5M9.7 13V8M13 13V3",
  other: "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z",
  repeat: "M3.5 5h9M3.5 8h9M3.5 11h9M1.8 5h.01M1.8 8h.01M1.8 11h.01",
  chevron: "M6 4l4 4-4 4",
  search: "M7 2.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4zM10.2 10.2l3.2 3.2",
  close: "M4 4l8 8M12 4l-8 8",
  error: "M8 2.2l6 11H2zM8 6.5v3M8 11.4h.01",
  ok: "M3.5 8.5l3 3 6-7",
  canceled: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM4.2 4.2l7.6 7.6",
  skew: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5v3.2l2 1.5",
  link: "M6.8 9.2a2.5 2.5 0 0 0 3.6 0l2-2a2.5 2.5 0 0 0-3.6-3.6l-.8.8M9.2 6.8a2.5 2.5 0 0 0-3.6 0l-2 2a2.5 2.5 0 0 0 3.6 3.6l.8-.8",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  left: "M10 4L6 8l4 4",
  right: "M6 4l4 4-4 4",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  moon: "M13 9.6A5.5 5.5 0 0 1 6.4 3 5.5 5.5 0 1 0 13 9.6z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  compare: "M5 3v10M11 3v10M2.5 5.5L5 3l2.5 2.5M8.5 10.5L11 13l2.5-2.5",
  path: "M2.5 12.5h4v-5h3v-4h4",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
  fit: "M2.5 3v10M13.5 3v10M5 8h6M6.8 6L5 8l1.8 2M9.2 6L11 8l-1.8 2",
  expand: "M4 6l4-4 4 4M4 10l4 4 4-4",
  fold: "M4 2l4 4 4-4M4 14l4-4 4 4",
  assess:
    "M2.5 7h2.5v6H2.5zM5 7.5l2.8-5c1 0 1.6.7 1.4 1.8L8.8 6.5h4c.7 0 1.1.6.9 1.3l-1.2 4.3c-.1.6-.6.9-1.1.9H5",
  help: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1v.6M8 11.8h.01",
};

export type IconName = keyof typeof PATHS;

export function Icon(props: { name: string; class?: string }) {
  return (
    <svg class={`icon ${props.class ?? ""}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[props.name] ?? PATHS.other} />
    </svg>
  );
}

/** The sign of a kind: its own shape and colour, and its name for those who see neither. */
export function KindIcon(props: { kind: Kind }) {
  return (
    <span class={`kind kind-${props.kind}`} title={KIND_LABELS[props.kind]}>
      <Icon name={props.kind} />
      <span class="sr">{KIND_LABELS[props.kind]}</span>
    </span>
  );
}
